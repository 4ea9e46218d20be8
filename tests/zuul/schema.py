"""Reads Zuul configuration with Zuul's own parsers; no service is needed. Usage: schema.py FILE..."""

import pathlib
import sys
from unittest import mock

from zuul import configloader, model

PARSERS = {
    "job": configloader.JobParser,
    "nodeset": configloader.NodeSetParser,
    "project": configloader.ProjectParser,
    "project-template": configloader.ProjectTemplateParser,
    "secret": configloader.SecretParser,
    "semaphore": configloader.SemaphoreParser,
}

wrong = items = 0
for name in sys.argv[1:]:
    source = model.SourceContext("canonical", "project", "connection", "main", name)
    for item in configloader.safe_load_yaml(pathlib.Path(name).read_text(), source) or []:
        ((kind, value),) = item.items()
        items += 1
        try:
            if kind not in PARSERS:
                raise ValueError(f"`{kind}` is not looked at by this test")
            parser = PARSERS[kind](mock.MagicMock())
            (parser.getSchema() if hasattr(parser, "getSchema") else parser.schema)(value)
        except Exception as error:
            wrong += 1
            print(f"{name}: {kind} {value.get('name')}: {type(error).__name__}: {error}")
print(f"{items} items in {len(sys.argv) - 1} files, {wrong} wrong")
sys.exit(wrong > 0)
