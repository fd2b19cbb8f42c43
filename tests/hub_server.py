"""A small server that speaks the part of the Hugging Face hub's HTTP interface that kpray uses."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Files = dict[str, bytes]


class HubServer(ThreadingHTTPServer):
    """Repositories in memory, each with its commits.

    Attributes:
        repositories: id -> the commits, oldest first, each its id and its files.
        private: ids of private repositories, which only the token `secret` opens.
        visibility: id -> visibility that was asked for at its creation.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, list[tuple[str, Files]]] = {}
        self.private: set[str] = set()
        self.visibility: dict[str, str | None] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, name: str, files: Files) -> str:
        commits = self.repositories.setdefault(name, [])
        contents = {**(commits[-1][1] if commits else {}), **files}
        commits.append((hashlib.sha1(repr((len(commits), sorted(contents))).encode()).hexdigest(), contents))
        return commits[-1][0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format: str, *args: Any) -> None:
        self.server.requests.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/(?:api/models/)?(\w+/[\w.-]+)/(resolve|revision|tree)/([^/]+)/?(.*)", path):
            self._read(*found.groups())
        else:
            self._answer(404, b"", {})

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer secret":
            self._answer(401, b'{"error": "Invalid username or password."}', {})
        elif self.path == "/api/repos/create":
            asked = json.loads(sent)
            name = f"{asked['organization']}/{asked['name']}"
            exists = name in self.server.repositories
            if not exists:
                self.server.visibility[name] = asked.get("visibility")
                self.server.commit(name, {".gitattributes": b""})
            self._json({"url": f"{self.server.url}/{name}"}, 409 if exists else 200)
        elif self.path == "/api/validate-yaml":
            self._json({"warnings": [], "errors": []})
        elif found := re.fullmatch(r"/api/models/(\w+/[\w.-]+)/preupload/main", self.path):
            files = json.loads(sent)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            self._json({"files": modes})
        elif found := re.fullmatch(r"/api/models/(\w+/[\w.-]+)/commit/main", self.path):
            values = [line["value"] for line in map(json.loads, sent.splitlines()) if line["key"] == "file"]
            files = {value["path"]: base64.b64decode(value["content"]) for value in values}
            commit = self.server.commit(found[1], files)
            self._json(
                {"success": True, "commitOid": commit, "commitUrl": f"{self.server.url}/{found[1]}/commit/{commit}"}
            )

    def _read(self, name: str, what: str, revision: str, file: str) -> None:
        commits = self.server.repositories.get(name)
        allowed = name not in self.server.private or self.headers.get("Authorization") == "Bearer secret"
        if commits is None or not allowed:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            return
        commit, files = next((each for each in commits if each[0] == revision), commits[-1])
        if revision not in ("main", commit):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif what == "revision":
            self._json({"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in files]})
        elif what == "tree":
            listed = [
                {"type": "file", "path": path, "size": len(files[path]), "oid": _oid(files[path])} for path in files
            ]
            self._json(listed)
        elif file not in files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        else:
            self._answer(200, files[file], {"ETag": f'"{_oid(files[file])}"', "X-Repo-Commit": commit})

    def _json(self, value: object, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(contents: bytes) -> str:
    """Git's checksum of a file."""
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server."""
    with HubServer() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
