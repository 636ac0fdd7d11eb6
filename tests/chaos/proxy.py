"""A cable that can be pulled: TCP to one server, forwarded, held back, or cut.

Held back is what a partition looks like from inside: nothing is refused, nothing arrives, and what was sent
arrives once the cable is in again, as retransmission would have it. Cut is the end of every connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Listens on a port of its own, in front of `port` of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._accepting = True
        self._open: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()

    @classmethod
    async def in_front_of(cls, port: int, *, host: str = "127.0.0.1") -> Self:
        proxy = cls(port)
        proxy._server = await asyncio.start_server(proxy._on_connection, host, 0)
        return proxy

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def hold(self) -> None:
        """Nothing passes any more, in either direction."""
        self._flowing.clear()

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._accepting = False
        for writer in list(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        """As at the beginning; what was held back arrives now."""
        self._accepting = True
        self._flowing.set()

    async def close(self) -> None:
        self.cut()
        self._flowing.set()
        if self._server is not None:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._accepting:
            writer.transport.abort()
            return
        # A task of ours: the server knows none before its first step, and logs one that was cancelled.
        self._open.add(writer)
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            if not self._accepting:
                return
            answers, onward = await asyncio.open_connection("127.0.0.1", self._to)
            self._open.add(onward)
            directions = {
                asyncio.ensure_future(self._pass(reader, onward)),
                asyncio.ensure_future(self._pass(answers, writer)),
            }
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        except OSError:
            pass  # nobody listens behind us: the end of this connection says so
        finally:
            for each in (writer, onward):
                if each is not None:
                    self._open.discard(each)
                    with suppress(OSError):
                        each.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK_BYTES):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
            await sink.drain()
