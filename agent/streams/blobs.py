"""Sessions about content:

`blob.get` sends a blob from an offset, `blob.put` takes one in (`bus.artifacts`); `blob.send` sends several
to another agent (`bus.replication`), and finds damage while it reads.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from agent.blobs import PIECE, BlobStore, Incoming
from agent.streams.server import Accept, Declined, Serve, Session, param
from agent.taking import CLUSTER, Taker
from bus.artifacts import GET, OFFSET_BYTES, PUT, LeftFile
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import OpenStream
from bus.replication import BLOBS_AT_ONCE, SEND


class BlobStreams:
    """`kinds`: how sessions of each kind are accepted. `suspect` is told of content that was read wrongly.

    `also`: files that lie elsewhere and are sent to other nodes as well, by their hashes.
    """

    def __init__(
        self,
        store: BlobStore,
        taker: Taker,
        *,
        suspect: Callable[[str], None] = lambda sha256: None,
        also: Callable[[str], Path | None] = lambda sha256: None,
    ) -> None:
        self._store = store
        self._taker = taker
        self._also = also
        self._suspect = suspect
        self.kinds: dict[str, Accept] = {
            GET: self._accept_get,
            PUT: self._accept_put,
            SEND: self._accept_send,
        }

    async def _accept_get(self, asked: OpenStream) -> Serve:
        sha256, offset = param(asked, "sha256", str), param(asked, "offset", int)
        try:
            size = self._store.size(sha256)
        except ApiError as error:
            raise Declined(error.error.code, error.error.message) from error
        if not 0 <= offset <= size:
            raise Declined("E_RANGE", f"offset {offset} of {size} bytes")

        async def send(session: Session) -> None:
            with self._store.open(sha256) as file:
                file.seek(offset)
                while piece := await asyncio.to_thread(file.read, PIECE):
                    await session.stream.write(piece)
            session.stream.end()
            await session.stream.drain()

        return send

    async def _accept_send(self, asked: OpenStream) -> Serve:
        if not asked.peer:
            raise Declined("E_FORBIDDEN", "that is between nodes")
        blobs = _sent(param(asked, "blobs", list))
        for sha256, offset in blobs:
            size = self._size(sha256)
            if not 0 <= offset <= size:
                raise Declined("E_RANGE", f"offset {offset} of {size} bytes")

        async def send(session: Session) -> None:
            for sha256, offset in blobs:
                await self._send(session, sha256, offset)
            session.stream.end()
            await session.stream.drain()

        return send

    def _size(self, sha256: str) -> int:
        """Raises Declined."""
        if (file := self._also(sha256)) is not None:
            try:
                return file.stat().st_size
            except OSError as error:  # its disk is gone
                raise Declined("E_NOT_FOUND", f"it cannot be read: {error.strerror}") from error
        try:
            return self._store.size(sha256)
        except ApiError as error:
            self._suspect(sha256)
            raise Declined(error.error.code, error.error.message) from error

    @contextmanager
    def _open(self, sha256: str) -> Iterator[BinaryIO]:
        """Raises ApiError, OSError."""
        if (path := self._also(sha256)) is not None:
            with open(path, "rb", buffering=0) as file:
                yield file
            return
        with self._store.open(sha256) as file:
            yield file

    async def _send(self, session: Session, sha256: str, offset: int) -> None:
        """Hashed on its way where it is sent whole: who sends what is damaged should be the first to know."""
        digest = hashlib.sha256()
        try:
            with self._open(sha256) as file:
                file.seek(offset)
                while piece := await asyncio.to_thread(file.read, PIECE):
                    await session.stream.write(piece)
                    await asyncio.to_thread(digest.update, piece)
        except ApiError as error:
            raise Declined(error.error.code, error.error.message) from error
        except OSError as error:  # a disk that cannot read it
            self._suspect(sha256)
            raise Declined("E_HASH", f"it cannot be read: {error.strerror}") from error
        if offset == 0 and digest.hexdigest() != sha256:
            self._suspect(sha256)
            raise Declined("E_HASH", "it is damaged here")

    async def _accept_put(self, asked: OpenStream) -> Serve:
        wanted = {name: param(asked, name, kind) for name, kind in _PUT.items()}
        pin = f"upload-{wanted['upload']}"

        async def take(session: Session) -> None:
            try:
                incoming = await asyncio.to_thread(self._store.receive, wanted["size"], wanted["sha256"])
                with incoming:
                    await self._receive(session, incoming, pin, wanted)
            except ApiError as error:
                raise Declined(error.error.code, error.error.message) from error

        return take

    async def _receive(self, session: Session, incoming: Incoming, pin: str, wanted: dict[str, Any]) -> None:
        stream = session.stream
        await stream.write(incoming.offset.to_bytes(OFFSET_BYTES, "big"))
        while incoming.offset < wanted["size"]:
            piece = await stream.read(PIECE)
            if not piece:
                break
            await asyncio.to_thread(incoming.write, piece)
        blob = await asyncio.to_thread(incoming.finish, pin=pin)
        file = LeftFile(
            name=wanted["name"],
            upload=wanted["upload"],
            sha256=blob.sha256,
            size=blob.size,
            media_type=blob.media_type,
        )
        try:
            kept = await self._taker.keep(file)
        except (BusError, DecodeError) as error:
            raise Declined("E_UNAVAILABLE", f"the coordinator does not answer: {error}") from error
        if not kept.code:
            await asyncio.to_thread(self._store.pin, blob.sha256, CLUSTER)
        await asyncio.to_thread(self._store.unpin, blob.sha256, pin)
        if kept.code:
            raise Declined(kept.code, kept.message)
        await stream.write(msgspec.json.encode({"id": kept.id, "media_type": blob.media_type}) + b"\n")
        await stream.finish()


_PUT: dict[str, type] = {"name": str, "size": int, "sha256": str, "upload": str}


def _sent(blobs: list[Any]) -> list[tuple[str, int]]:
    """Raises Declined."""
    pairs = [(each[0], each[1]) for each in blobs if isinstance(each, list | tuple) and len(each) == 2]
    if len(pairs) != len(blobs) or not 0 < len(pairs) <= BLOBS_AT_ONCE:
        raise Declined("E_TYPE", f"blobs are 1 to {BLOBS_AT_ONCE} pairs of hash and offset")
    if any(type(sha256) is not str or type(offset) is not int for sha256, offset in pairs):
        raise Declined("E_TYPE", "each of blobs is a hash and an offset")
    return pairs
