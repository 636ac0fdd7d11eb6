"""A web socket (RFC 6455) of a few lines, for tests: a server as a task runs it, and a client."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct

TEXT, CLOSE = 0x81, 0x88
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE_S = 60.0

SERVER = """
import base64, hashlib, socket, struct, threading, time

def read(there, size):
    data = b""
    while len(data) < size:
        more = there.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data

def say(there, kind, data):
    there.sendall(struct.pack(">BBH", kind, 126, len(data)) + data)

def push(there, count):
    for number in range(count):
        say(there, 0x81, b"push %d" % number)
        time.sleep(0.01)

def serve(there):
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += read(there, 1)
    fields = dict(line.split(b": ", 1) for line in head.splitlines() if b": " in line)
    key = fields[b"Sec-WebSocket-Key"]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    there.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
    while True:
        kind, _, size = struct.unpack(">BBH", read(there, 4))
        mask = read(there, 4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(read(there, size)))
        if kind == 0x88:
            try:
                read(there, 1)  # the client has ended its direction
            except EOFError:
                say(there, 0x81, b"after your end")
            say(there, 0x88, data)
            there.close()
            return
        if data.startswith(b"push "):
            threading.Thread(target=push, args=(there, int(data[5:]))).start()
        else:
            say(there, 0x81, b"echo " + data)

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    serve(listening.accept()[0])
"""
"""Says "echo X" to X, N messages to "push N", and to the end of the client one more before its own."""


class WebSocket:
    """The client's end. Raises TimeoutError, EOFError, OSError."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        key = base64.b64encode(os.urandom(16))
        self._socket.sendall(
            b"GET / HTTP/1.1\r\nHost: task\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
        assert b"Sec-WebSocket-Accept: " + accept in head

    def say(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def hear(self) -> str:
        """The next message; "" for the other side's end."""
        kind, _, size = struct.unpack(">BBH", self._read(4))
        data = self._read(size)
        return data.decode() if kind == TEXT else ""

    def end(self) -> None:
        """Say so, and end our direction; the other one goes on."""
        self._send(CLOSE, b"\x03\xe8")
        self._socket.shutdown(socket.SHUT_WR)

    def at_end(self) -> bool:
        """Whether nothing comes after what was heard; waits for it."""
        return self._socket.recv(1) == b""

    def close(self) -> None:
        self._socket.close()

    def _send(self, kind: int, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self._socket.sendall(struct.pack(">BBH", kind, 0x80 | 126, len(data)) + mask + masked)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError("the connection was ended")
            data += more
        return data
