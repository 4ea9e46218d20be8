"""A stand-in for Gerrit: as much of its HTTP interface as Zuul needs to test a change and to comment on it.

    gerrit.py PORT DIRECTORY

DIRECTORY/git/NAME.git are the repositories, DIRECTORY/changes/N.json the changes; what Zuul says about a change is
appended to DIRECTORY/reviews.jsonl. Listens on loopback only, and believes everybody.
"""

import gzip
import http.server
import json
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse

PORT, DIRECTORY = int(sys.argv[1]), pathlib.Path(sys.argv[2])
LOCK = threading.Lock()


def git(project, *words):
    command = ["git", "--git-dir", str(DIRECTORY / "git" / f"{project}.git"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def change(name):
    """By number, or by `project~branch~id` in any quoting."""
    wanted = urllib.parse.unquote(urllib.parse.unquote(name))
    for file in (DIRECTORY / "changes").glob("*.json"):
        one = json.loads(file.read_text())
        if wanted in (str(one["number"]), f"{one['project']}~{one['branch']}~{one['change_id']}"):
            return one
    return None


def ref(one):
    return f"refs/changes/{one['number'] % 100:02}/{one['number']}/{one['patchset']}"


def files(one):
    project = one["project"]
    names = git(project, "diff", "--name-only", f"{ref(one)}^", ref(one)).splitlines()
    return {name: {"status": "M"} for name in names}


def described(one):
    project, commit = one["project"], git(one["project"], "rev-parse", ref(one))
    parents = git(project, "log", "-1", "--format=%P", commit).split()
    owner = {"name": "Contributor", "username": "contributor", "email": "contributor@example.com"}
    return {
        "id": f"{project}~{one['branch']}~{one['change_id']}",
        "project": project,
        "branch": one["branch"],
        "change_id": one["change_id"],
        "_number": one["number"],
        "status": "NEW",
        "owner": owner,
        "labels": {"Verified": {"all": []}},
        "current_revision": commit,
        "revisions": {
            commit: {
                "_number": one["patchset"],
                "ref": ref(one),
                "uploader": owner,
                "files": files(one),
                "commit": {
                    "subject": git(project, "log", "-1", "--format=%s", commit),
                    "message": git(project, "log", "-1", "--format=%B", commit),
                    "parents": [{"commit": parent} for parent in parents],
                },
            }
        },
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, body, kind="application/json", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body)

    def answer(self, value):
        # The first line keeps scripts of other sites from reading it; clients take it off.
        self.say(b")]}'\n" + json.dumps(value).encode())

    def missing(self):
        self.say(b"not found", "text/plain", 404)

    def body(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def upload_pack(self, project, body, *words):
        directory = DIRECTORY / "git" / f"{project}.git"
        if not directory.is_dir():
            return None
        command = ["git", "upload-pack", "--stateless-rpc", *words, str(directory)]
        return subprocess.run(command, input=body, check=False, capture_output=True).stdout

    def do_GET(self):
        path, _, query = self.path.partition("?")
        path = path.removeprefix("/a")
        if found := re.fullmatch(r"/(.+?)(?:\.git)?/info/refs", path):
            refs = self.upload_pack(found[1], b"", "--advertise-refs")
            if refs is None or "git-upload-pack" not in query:
                return self.missing()
            head = b"001e# service=git-upload-pack\n0000"
            return self.say(head + refs, "application/x-git-upload-pack-advertisement")
        if path == "/config/server/version":
            return self.answer("3.13.0")
        if path == "/config/server/info":
            return self.answer({"change": {}})
        if re.fullmatch(r"/projects/.+/HEAD", path):
            return self.answer("refs/heads/main")
        if path == "/changes/":
            return self.answer([])
        if found := re.fullmatch(r"/changes/([^/]+)(/.*)?", path):
            one = change(found[1])
            if one is None:
                return self.missing()
            rest = found[2] or ""
            if rest.endswith("/related"):
                return self.answer({"changes": []})
            if rest.endswith("/files"):
                return self.answer({"/COMMIT_MSG": {"status": "A"}, **files(one)})
            if rest.endswith("/submitted_together"):
                return self.answer([])
            return self.answer(described(one))
        return self.missing()

    def do_POST(self):
        path, body = self.path.partition("?")[0].removeprefix("/a"), self.body()
        if found := re.fullmatch(r"/(.+?)(?:\.git)?/git-upload-pack", path):
            pack = self.upload_pack(found[1], body)
            return self.say(pack or b"", "application/x-git-upload-pack-result")
        if found := re.fullmatch(r"/changes/([^/]+)/revisions/([^/]+)/review", path):
            one = change(found[1])
            if one is None:
                return self.missing()
            with LOCK, (DIRECTORY / "reviews.jsonl").open("a") as file:
                said = {"change": one["number"], "patchset": one["patchset"], **json.loads(body)}
                file.write(json.dumps(said) + "\n")
            return self.answer({})
        return self.missing()


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
