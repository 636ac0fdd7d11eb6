"""Somebody's web server, by Python's own http.server: what webhooks call in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct


class Call(Struct, frozen=True):
    """A request as it came. `headers` in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` (status, headers, body) are given in order, the last one for ever; `hang` answers nothing."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(204, {}, b"")]
        self.hang = False
        self.released = threading.Event()
        self.port = 0
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in?x=1"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length", "0"))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            body = handler.rfile.read(size)
            if self.hang:
                self.released.wait(30.0)
            with self._lock:
                self.calls.append(Call(handler.path, headers, body))
                status, said, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        finally:
            with self._lock:
                self.now -= 1
        try:
            handler.send_response(status)
            for name, value in said.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text)
        except OSError:
            pass  # whoever asked has gone: that is what some tests are about


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A server on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
