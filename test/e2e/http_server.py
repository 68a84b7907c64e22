"""Starts `welford serve` and speaks to it with Python's own HTTP client.

    with Server(welford, model, "-np", "4") as s:
        s.post("/v1/completions", {"prompt": "a"}).json
        for event in s.stream("/v1/completions", {"prompt": "a", "stream": True}): ...
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def ok(self) -> "Answer":
        assert self.status == 200, self.body
        return self

    def refused(self, status: int, field: str | None = None) -> str:
        """The message of an error in OpenAI's shape."""
        assert self.status == status, (self.status, self.body)
        error = self.json["error"]
        assert error["code"] == status and error["param"] == field, error
        assert error["message"] and error["type"]
        return error["message"]


class Server:
    def __init__(self, welford, *args, env=None, wait=True):
        command = [str(welford.path), "serve", "--port", "0", *map(str, args)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **welford.env, **(env or {})})
        self.said, self.port = [], None
        listening = threading.Event()

        def read():
            for line in self.process.stderr:
                self.said.append(line)
                if found := re.search(r"listening on (\w+)://.*:(\d+)\n", line):
                    self.port = int(found[2])
                    listening.set()
            listening.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        assert listening.wait(60) and self.port, "".join(self.said)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds=300):
        deadline = time.monotonic() + seconds
        while self.get("/health").status != 200:
            assert time.monotonic() < deadline and self.process.poll() is None, "".join(self.said)
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.reader.join(10)
        if exception[0] is None:
            assert self.process.returncode == 0, (self.process.returncode, "".join(self.said))

    def connect(self, timeout=120) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None) -> Answer:
        c = self.connect()
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def get(self, path, headers=None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None) -> Answer:
        return self.request("POST", path, body, headers)

    def stream(self, path, body) -> list[str]:
        """The data of a stream's events, whose framing is checked."""
        c = self.connect()
        try:
            c.request("POST", path, json.dumps(body))
            r = c.getresponse()
            text = r.read().decode()
            assert r.status == 200, text
            assert r.getheader("Content-Type") == "text/event-stream"
            return parse_events(text)
        finally:
            c.close()

    def lines(self, path, body) -> list:
        """The objects of a stream with one a line."""
        answer = self.post(path, body).ok()
        assert answer.headers["content-type"] == "application/x-ndjson" and answer.body.endswith(b"\n")
        return [json.loads(line) for line in answer.body.splitlines()]

    def named_events(self, path, body) -> list:
        """The objects of a stream whose events have names, which are the objects' types."""
        answer = self.post(path, body).ok()
        assert answer.headers["content-type"] == "text/event-stream"
        events = []
        for event in answer.body.decode().removesuffix("\n\n").split("\n\n"):
            name, data = event.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
        return events

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def begin(self, path, body) -> socket.socket:
        """A request whose answer nobody has read yet."""
        s = self.raw()
        data = json.dumps(body).encode()
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return s


def parse_events(text: str) -> list[str]:
    assert text.endswith("\n\n"), text[-100:]
    events = []
    for event in text[:-2].split("\n\n"):
        if event.startswith(":"):
            continue
        assert event.startswith("data: ") and "\n" not in event, event
        events.append(event[len("data: "):])
    return events
