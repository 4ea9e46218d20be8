"""A stand-in for Keystone: as much of it as making and deleting application credentials takes.

    keystone.py PORT FILE

FILE holds what exists, as JSON; the one that may ask has the id `base` and the secret `base-secret`.
"""

import http.server
import json
import pathlib
import sys

PORT, FILE = int(sys.argv[1]), pathlib.Path(sys.argv[2])
CREDENTIALS = "/v3/users/user-1/application_credentials"


class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, status, value=None, **headers):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != CREDENTIALS or self.headers["X-Auth-Token"] != "token-1":
            return self.say(401)
        return self.say(200, {"application_credentials": json.loads(FILE.read_text())})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v3/auth/tokens":
            who = asked["auth"]["identity"]["application_credential"]
            if who != {"id": "base", "secret": "base-secret"}:
                return self.say(401)
            return self.say(201, {"token": {"user": {"id": "user-1"}}}, X_Subject_Token="token-1")
        if self.path != CREDENTIALS or self.headers["X-Auth-Token"] != "token-1":
            return self.say(401)
        made = {"id": "disposable", **asked["application_credential"]}
        FILE.write_text(json.dumps([*json.loads(FILE.read_text()), made]))
        return self.say(201, {"application_credential": {**made, "secret": "disposable-secret"}})

    def do_DELETE(self):
        if self.headers["X-Auth-Token"] != "token-1":
            return self.say(401)
        wanted = self.path.removeprefix(f"{CREDENTIALS}/")
        FILE.write_text(json.dumps([one for one in json.loads(FILE.read_text()) if one["id"] != wanted]))
        return self.say(204)


http.server.HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
