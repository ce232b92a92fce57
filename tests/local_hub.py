"""A Hub for tests: real HTTP on loopback, talked to by the real huggingface_hub client.

It keeps repositories in memory as commits on branches, checks tokens and parent commits, stores
large files by the LFS protocol, and can be told to fail, to break a connection or to run a
person's edit at any of its routes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from tests.hub_store import Commit, Repo

WRITER = "hf_writerwriterwriter"
READER = "hf_readerreaderreader"

_ROUTES = [
    ("create", "POST", r"/api/repos/create"),
    ("validate", "POST", r"/api/validate-yaml"),
    ("whoami", "GET", r"/api/whoami-v2"),
    ("preupload", "POST", r"/api/(?P<kind>\w+)s/(?P<id>[^/]+/[^/]+)/preupload/(?P<rev>[^/]+)"),
    ("commit", "POST", r"/api/(?P<kind>\w+)s/(?P<id>[^/]+/[^/]+)/commit/(?P<rev>[^/]+)"),
    ("tree", "GET", r"/api/(?P<kind>\w+)s/(?P<id>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)(?P<path>.*)"),
    ("info", "GET", r"/api/(?P<kind>\w+)s/(?P<id>[^/]+/[^/]+)(?:/revision/(?P<rev>[^/]+))?"),
    ("batch", "POST", r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch"),
    ("upload", "PUT", r"/lfs/(?P<oid>\w+)"),
    (
        "resolve",
        "(?:GET|HEAD)",
        r"/(?P<prefix>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)",
    ),
]


def _route(command: str, path: str) -> tuple[str, re.Match[str] | None]:
    for route, method, pattern in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match and re.fullmatch(method, command):
            return route, match
    return "", None


@dataclass
class Request:
    """What a client sent."""

    route: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """What shall go wrong: a status, or a connection that breaks before or after the work."""

    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    breaks: str | None = None
    then: Callable[[], None] | None = None


class LocalHub:
    """The server and its state."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[Request] = []
        self._large: dict[str, bytes] = {}
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.RLock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- for tests ---------------------------------------------------------------------------

    def reset(self) -> None:
        with self._lock:
            self.repos.clear()
            self.requests.clear()
            self._large.clear()
            self._faults.clear()

    def make(self, repo_id: str, files: dict[str, bytes] | None = None, kind="model") -> Repo:
        """A repository with a first commit."""
        repo = self.repos[kind, repo_id] = Repo()
        repo.add({".gitattributes": b"", **(files or {})}, "initial commit", "main", None)
        return repo

    def edit(self, repo_id: str, path: str, content: bytes, kind="model", branch="main") -> None:
        """A person's commit."""
        repo = self.repos[kind, repo_id]
        head = repo.at(branch)
        repo.add({**head.files, path: content}, f"edit {path}", branch, head.oid)

    def file(self, repo_id: str, path: str, kind="model", revision="main") -> bytes | None:
        return self.repos[kind, repo_id].at(revision).files.get(path)

    def fail(self, route: str, status: int, times: int = 1, body: bytes = b"", **headers: str):
        """Answer `route` with `status` the next `times` times."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.setdefault(route, []).append(Fault(times, status, named, body))

    def cut(self, route: str, when: str, times: int = 1) -> None:
        """Break the connection at `route`, ``"before"`` or ``"after"`` the work is done."""
        self._faults.setdefault(route, []).append(Fault(times, breaks=when))

    def before(self, route: str, then: Callable[[], None], times: int = 1) -> None:
        """Do something just before `route` is served, such as a person's edit."""
        self._faults.setdefault(route, []).append(Fault(times, then=then))

    def sent(self, *routes: str) -> list[Request]:
        """Requests to these routes; all when none is named."""
        return [r for r in self.requests if not routes or r.route in routes]

    def take_fault(self, route: str) -> Fault | None:
        with self._lock:
            for fault in self._faults.get(route, []):
                if fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class _RefusedError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", body: object = None) -> None:
        self.status, self.code, self.message, self.body = status, code, message, body


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    # Else each answer waits 40 ms for the client's delayed acknowledgment of its head.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        self.query = parse_qs(split.query)
        route, match = _route(self.command, split.path)
        if match is None:
            self._answer(404, {"error": f"no route {self.command} {self.path}"})
            return
        self.hub.requests.append(
            Request(route, self.command, self.path, dict(self.headers.items()), body)
        )
        fault = self.hub.take_fault(route)
        if fault and fault.then:
            fault.then()
        if fault and fault.status:
            self._answer(fault.status, fault.body, fault.headers)
            return
        if fault and fault.breaks == "before":
            self._break()
            return
        parts = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
        try:
            with self.hub._lock:
                answer = getattr(self, f"_{route}")(body, **parts)
        except _RefusedError as refused:
            answer = (
                refused.status,
                refused.body if refused.body is not None else {"error": refused.message},
                {"X-Error-Code": refused.code, "X-Error-Message": refused.message},
            )
        if fault and fault.breaks == "after":
            self._break()
            return
        self._answer(*answer)

    def _break(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # --- checks ------------------------------------------------------------------------------

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _check_token(self, write: bool) -> None:
        token = self._token()
        if token not in (None, WRITER, READER) or (write and token is None):
            raise _RefusedError(401, message="Invalid credentials in Authorization header")
        if write and token != WRITER:
            raise _RefusedError(403, message="this token may only read")

    def _repo(self, kind: str, repo_id: str) -> Repo:
        self._check_token(write=False)
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and self._token() is None):
            raise _RefusedError(404, "RepoNotFound", "Repository not found")
        return repo

    def _commit_of(self, kind: str, repo_id: str, revision: str) -> Commit:
        commit = self._repo(kind, repo_id).at(revision)
        if commit is None:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    # --- routes ------------------------------------------------------------------------------

    def _create(self, body: bytes):
        self._check_token(write=True)
        data = json.loads(body)
        kind = data.get("type") or "model"
        repo_id = f"{data.get('organization') or 'me'}/{data['name']}"
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.hub.repos:
            return 409, {"error": "You already created this repo", "url": url}
        repo = self.hub.make(repo_id, kind=kind)
        repo.private = data.get("visibility") == "private"
        return 200, {"url": url, "name": repo_id, "id": repo_id}

    def _validate(self, body: bytes):
        content = json.loads(body)["content"]
        match = REGEX_YAML_BLOCK.search(content.removeprefix("\ufeff"))
        try:
            data = yaml.safe_load(match.group(2)) if match else {}
        except yaml.YAMLError as error:
            data, reason = None, str(error)
        else:
            reason = "metadata must be an object"
        if data is not None and not isinstance(data, dict):
            data = None
        if data is None and match and match.group(2).strip():
            return 400, {"errors": [{"message": reason}]}
        return 200, {"errors": [], "warnings": []}

    def _whoami(self, body: bytes):
        self._check_token(write=False)
        return 200, {"name": "me", "type": "user", "orgs": []}

    def _preupload(self, body: bytes, kind: str, id: str, rev: str):
        files = self._commit_of(kind, id, rev).files
        answer = []
        for entry in json.loads(body)["files"]:
            path = entry["path"]
            large = path.endswith((".parquet", ".safetensors", ".bin", ".png"))
            known = files.get(path)
            oid = None
            if known is not None:
                oid = (
                    hashlib.sha256(known).hexdigest()
                    if large
                    else hashlib.sha1(b"blob %d\0" % len(known) + known).hexdigest()
                )
            answer.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": oid,
                }
            )
        return 200, {"files": answer}

    def _batch(self, body: bytes):
        # A pull request's files come with a token that may only read.
        self._check_token(write=False)
        objects = []
        for entry in json.loads(body)["objects"]:
            item = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.hub._large:
                item["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}"}}
            objects.append(item)
        return 200, {"transfer": "basic", "objects": objects}

    def _upload(self, body: bytes, oid: str):
        if hashlib.sha256(body).hexdigest() != oid:
            raise _RefusedError(400, message="wrong content")
        self.hub._large[oid] = body
        return 200, {}

    def _commit(self, body: bytes, kind: str, id: str, rev: str):
        as_pr = self.query.get("create_pr") == ["1"]
        self._check_token(write=not as_pr)
        repo = self._repo(kind, id)
        if rev not in repo.branches:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        head = repo.at(rev)
        files = dict(head.files)
        message = ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
                parent = value.get("parentCommit")
                if parent and not as_pr and parent != head.oid:
                    raise _RefusedError(
                        412, message="A commit has happened since. Please refresh and try again."
                    )
                if parent and as_pr:
                    files = dict(repo.commits[parent].files)
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub._large[value["oid"]]
            elif item["key"] == "deletedFile":
                files.pop(value["path"], None)
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.branches)
        branch = f"refs/pr/{number}" if as_pr else rev
        commit = repo.add(files, message, branch, head.oid)
        base = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{id}"
        return 200, {
            "success": True,
            "commitUrl": f"{base}/commit/{commit.oid}",
            "commitOid": commit.oid,
            "pullRequestUrl": f"{base}/discussions/{number}" if as_pr else None,
        }

    def _info(self, body: bytes, kind: str, id: str, rev: str = "main"):
        commit = self._commit_of(kind, id, rev)
        siblings = [{"rfilename": name} for name in commit.files]
        private = self.hub.repos[kind, id].private
        return 200, {
            "id": id,
            "sha": commit.oid,
            "private": private,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
        }

    def _tree(self, body: bytes, kind: str, id: str, rev: str, path: str = ""):
        commit = self._commit_of(kind, id, rev)
        folder = path.strip("/")
        inside = {n: c for n, c in commit.files.items() if not folder or n.startswith(folder + "/")}
        if folder and not inside:
            raise _RefusedError(404, "EntryNotFound", "not found")
        entries = []
        for name, content in inside.items():
            entry = {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            }
            entries.append(entry)
        return 200, entries

    def _resolve(self, body: bytes, id: str, rev: str, path: str, prefix: str = ""):
        kind = "dataset" if prefix else "model"
        commit = self._commit_of(kind, id, rev)
        content = commit.files.get(path)
        if content is None:
            raise _RefusedError(404, "EntryNotFound", "Entry not found")
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": commit.oid,
        }
        return 200, content, headers


@pytest.fixture(scope="session")
def hub_server():
    hub = LocalHub()
    yield hub
    hub.close()


@pytest.fixture
def hub(hub_server, monkeypatch, tmp_path):
    """An empty local Hub that this process's huggingface_hub client talks to, with a token."""
    import huggingface_hub.constants as constants
    import transformers.utils.hub as transformers_hub
    from huggingface_hub.utils import close_session

    from hf_ftrisk.hub_repo import repository as client

    hub_server.reset()
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    template = hub_server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(transformers_hub, "_hf_api", None)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    close_session()
    yield hub_server
    close_session()
