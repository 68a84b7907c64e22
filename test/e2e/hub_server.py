"""A hub of our own for the tests: what the Hugging Face hub's HTTP API answers about a few small repositories, and every
way in which a server, a network or an attacker may answer worse.

    with HubServer() as hub:
        hub.add("owner/name", {"config.json": b"...", "model.safetensors": b"..."})
        hub.faults.append(Fault("model.safetensors", cut=1000))     # once: the connection ends after 1000 bytes
        subprocess.run(..., env=hub.env(tmp_path))
        assert hub.paths("GET") == [...]
"""
import hashlib
import json
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGE = (".safetensors", ".gguf")  # kept with git LFS: named by their SHA-256


def etag_of(path: str, data: bytes) -> str:
    if path.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Fault:
    """Changes the answers to requests whose path ends with `path`, so often as `times` says."""
    path: str
    times: int = 1
    method: str = "GET"
    status: int = 0  # answer with this
    headers: dict = field(default_factory=dict)
    cut: int = -1  # close the connection after so many bytes of the body
    short: bool = False  # with `cut`: say in the header that this is all
    data: bytes | None = None  # send these instead
    ignore_range: bool = False
    wrong_range: bool = False  # send another range than asked for
    stall: float = 0  # seconds to wait after `cut` bytes
    redirect: str = ""  # to this address


@dataclass
class Request:
    method: str
    path: str
    headers: dict


class HubServer:
    def __init__(self, cdn: "HubServer | None" = None, certificate: Path | None = None):
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}  # name, commit, path
        self.refs: dict[str, dict[str, str]] = {}
        self.gated: dict[str, str] = {}  # name to token
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.tells_blobs = True  # sizes and checksums in the listing
        self.listing = None  # if set, changes the listing before it is sent
        self.cdn = cdn  # where large files are
        self.lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "HubServer":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Adds a commit, and returns its hash."""
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()
        self.repositories.setdefault(name, {})[commit] = files
        self.refs.setdefault(name, {})[revision] = commit
        return commit

    def env(self, home: Path) -> dict[str, str]:
        """What a client needs, and nothing of what the caller's environment says about hubs."""
        empty = {name: "" for name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE",
                                       "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH", "http_proxy", "https_proxy",
                                       "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
                                       "SSL_CERT_FILE", "HF_HUB_DOWNLOAD_TIMEOUT")}
        return empty | {"HF_ENDPOINT": self.url, "HF_HOME": str(home)}

    def paths(self, method: str) -> list[str]:
        return [r.path for r in self.requests if r.method == method]

    def downloads(self) -> list[str]:
        """Names of the files that were asked for with GET, in order."""
        return [path.split("/", 5)[5] for path in self.paths("GET") if "/resolve/" in path]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and path.endswith(fault.path):
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_HEAD(self):
        self.answer("HEAD")

    def send_empty(self, status: int, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, method: str) -> None:
        path = urllib.parse.unquote(self.path.split("?")[0])
        self.hub.requests.append(Request(method, path, dict(self.headers)))
        self.fault = self.hub.take_fault(method, path) or Fault("")
        if self.fault.redirect:
            return self.send_empty(302, {"Location": self.fault.redirect})
        if self.fault.status:
            return self.send_empty(self.fault.status, self.fault.headers)
        parts = path.split("/")
        if path.startswith("/cdn/"):
            return self.send_file(method, self.hub.repositories["cdn"]["cdn"][parts[2]], {})
        name = "/".join(parts[3:5] if path.startswith("/api/models/") else parts[1:3])
        rest = parts[5:] if path.startswith("/api/models/") else parts[3:]
        if name not in self.hub.repositories:
            return self.send_empty(401, {"X-Error-Code": "RepoNotFound"})
        token = self.hub.gated.get(name)
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            given = "Authorization" in self.headers
            return self.send_empty(403 if given else 401, {"X-Error-Code": "GatedRepo"})
        kind, revision = rest[0], "/".join(rest[1:]) if path.startswith("/api/") else rest[1]
        commit = self.hub.refs[name].get(revision, revision)
        if commit not in self.hub.repositories[name]:
            return self.send_empty(404, {"X-Error-Code": "RevisionNotFound"})
        files = self.hub.repositories[name][commit]
        if kind == "revision":
            return self.send_json(self.describe(name, commit, files))
        if kind == "tree":  # the Python client asks for this one
            return self.send_json([self.describe_tree(p, data) for p, data in files.items()])
        file = "/".join(rest[2:])
        if file not in files:
            return self.send_empty(404, {"X-Error-Code": "EntryNotFound"})
        self.send_resolved(method, commit, file, files[file])

    def describe(self, name: str, commit: str, files: dict[str, bytes]) -> dict:
        siblings = []
        for path, data in files.items():
            entry = {"rfilename": path}
            if self.hub.tells_blobs and "blobs=true" in self.path:
                entry |= {"size": len(data), "blobId": etag_of("", data)}
                if path.endswith(LARGE):
                    entry["lfs"] = {"sha256": etag_of(path, data), "size": len(data), "pointerSize": 135}
            siblings.append(entry)
        listing = {"id": name, "modelId": name, "sha": commit, "private": False, "siblings": siblings}
        return self.hub.listing(listing) if self.hub.listing else listing

    def describe_tree(self, path: str, data: bytes) -> dict:
        entry = {"type": "file", "path": path, "size": len(data), "oid": etag_of("", data)}
        if path.endswith(LARGE):
            entry["lfs"] = {"oid": etag_of(path, data), "size": len(data), "pointerSize": 135}
        return entry

    def send_json(self, data) -> None:
        body = self.fault.data if self.fault.data is not None else json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_resolved(self, method: str, commit: str, path: str, data: bytes) -> None:
        etag = etag_of(path, data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}
        if path.endswith(LARGE):
            headers |= {"ETag": '"of-the-pointer"', "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        if path.endswith(LARGE) and self.hub.cdn:
            self.hub.cdn.repositories.setdefault("cdn", {}).setdefault("cdn", {})[etag] = data
            return self.send_empty(302, headers | {"Location": f"{self.hub.cdn.url}/cdn/{etag}"})
        self.send_file(method, data, headers)

    def send_file(self, method: str, data: bytes, headers: dict) -> None:
        fault, start, status = self.fault, 0, 200
        if fault.data is not None:
            data = fault.data
        total = len(data)
        asked = self.headers.get("Range")
        if asked and not fault.ignore_range:
            start, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            if start >= total:
                return self.send_empty(416, {"Content-Range": f"bytes */{total}"})
            start = start // 2 if fault.wrong_range else start
        body = data[start:]
        sent = body[:fault.cut] if fault.cut >= 0 else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(sent if fault.short else body)))
        self.end_headers()
        if method == "HEAD":
            return
        try:
            self.wfile.write(sent)
            self.wfile.flush()
            time.sleep(fault.stall)
        except OSError:  # the client has gone
            pass
        if fault.cut >= 0:
            self.close_connection = True
