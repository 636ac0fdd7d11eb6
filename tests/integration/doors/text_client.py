"""The text protocol of NATS over a socket, with nothing but the standard library and a key to sign with."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import urlsplit

import nkeys

Message = tuple[str, dict[str, str], bytes]
WAIT_S = 15.0


class TextClient:
    """Sends lines, keeps what comes; `transcript` has both."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._messages: list[Message] = []
        self._errors: list[bytes] = []
        self.transcript: list[str] = []

    @classmethod
    async def connect(cls, url: str, jwt: str, seed: bytes) -> TextClient:
        """INFO brings a nonce; CONNECT answers with the user's JWT and the nonce signed by its key."""
        place = urlsplit(url)
        client = cls(*await asyncio.open_connection(place.hostname, place.port))
        info = json.loads((await client._line()).removeprefix(b"INFO "))
        signature = nkeys.from_seed(bytearray(seed)).sign(info["nonce"].encode())
        options = {
            "verbose": False,
            "pedantic": True,
            "headers": True,
            "protocol": 1,
            "lang": "text",
            "version": "0",
            "jwt": jwt,
            "sig": base64.urlsafe_b64encode(signature).rstrip(b"=").decode(),
        }
        client._writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        client.transcript.append("> CONNECT {jwt, sig, …}")
        assert await client._line() == b"PONG"
        return client

    async def send(self, line: bytes) -> None:
        self.transcript.append("> " + line.decode(errors="replace").replace("\r\n", " ⏎ "))
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        where = f"{subject} {reply}".strip()
        if headers is None:
            await self.send(f"PUB {where} {len(body)}\r\n".encode() + body)
            return
        head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        await self.send(f"HPUB {where} {len(head)} {len(head) + len(body)}\r\n{head}".encode() + body)

    async def message(self, subject: str) -> Message:
        """The next message on `subject`."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for position, message in enumerate(self._messages):
                    if message[0] == subject:
                        return self._messages.pop(position)
                await self._read()

    async def error(self) -> bytes:
        """The server's next complaint."""
        async with asyncio.timeout(WAIT_S):
            while not self._errors:
                await self._read()
        return self._errors.pop(0)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _line(self) -> bytes:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        return line

    async def _read(self) -> None:
        line = await self._line()
        word, *rest = line.decode().split(" ")
        self.transcript.append("< " + line.decode())
        match word:
            case "PING":
                self._writer.write(b"PONG\r\n")
            case "-ERR":
                self._errors.append(line)
            case "MSG":
                size = int(rest[-1])
                body = (await self._reader.readexactly(size + 2))[:-2]
                self._keep(rest[0], {}, body)
            case "HMSG":
                head_size, size = int(rest[-2]), int(rest[-1])
                whole = (await self._reader.readexactly(size + 2))[:-2]
                lines = whole[:head_size].decode().split("\r\n")[1:]
                headers = dict(line.split(": ", 1) for line in lines if line)
                self._keep(rest[0], headers, whole[head_size:])

    def _keep(self, subject: str, headers: dict[str, str], body: bytes) -> None:
        self.transcript.append("< " + "".join(f"{n}: {v} ⏎ " for n, v in headers.items()) + body.decode())
        self._messages.append((subject, headers, body))
