"""Files that tasks leave, taken into the content store and told to the coordinator.

The folder of an attempt is the queue: a file leaves it when the coordinator has it, so what an outage, a full
store or a restart holds up is taken later, and nothing is kept twice. Meanwhile the content has a pin of its
attempt; once the coordinator has it, the pin `cluster`, which goes when it says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from enum import Enum

from agent.blobs import Blob, BlobStore
from agent.leavings import Leavings
from agent.words import plain
from bus import subjects
from bus.artifacts import Kept, KeptFile, KeptReply, LeftFile
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

CLUSTER = "cluster"
_TIMEOUT_S = 10.0
_RETRY_S = 2.0
_FULL_RETRY_S = 30.0
_WAIT = frozenset({"E_SPACE", "E_UNAVAILABLE"})
_AGAIN = 2


class _Taken(Enum):
    KEPT = "kept"
    REFUSED = "refused"  # it stays where it is, for whoever looks
    STALE = "stale"  # the attempt does not count, and nothing of it will


class Taker:
    """`run` for ever; `end` an attempt, or `add` a file of one that runs. `fault` is what hinders it."""

    def __init__(self, bus: Bus, node: str, leavings: Leavings, store: BlobStore) -> None:
        self._bus = bus
        self._node = node
        self._leavings = leavings
        self._store = store
        self._subject = subjects.node(node, NodeVerb.KEPT)
        self._queue: asyncio.Queue[tuple[AttemptRef, str | None]] = asyncio.Queue()
        self._hindered: dict[AttemptRef, str] = {}

    @property
    def fault(self) -> str:
        return next(iter(self._hindered.values()), "")

    def end(self, attempt: AttemptRef) -> None:
        """Take all that it has left."""
        self._queue.put_nowait((attempt, None))

    def add(self, attempt: AttemptRef, name: str) -> None:
        """Take one file now; it stays where it is."""
        self._queue.put_nowait((attempt, name))

    def resume(self, held: set[AttemptRef]) -> None:
        """After a start: what attempts have left that are not `held` any more."""
        for attempt in self._leavings.attempts():
            if attempt not in held:
                self.end(attempt)

    async def run(self) -> None:
        """One attempt after the other."""
        async with asyncio.TaskGroup() as later:
            while True:
                attempt, name = await self._queue.get()
                try:
                    await (self._take_all(attempt) if name is None else self._take_one(attempt, name))
                    self._hindered.pop(attempt, None)
                except Exception as error:  # noqa: BLE001 - top of its loop: what others left is taken
                    known = isinstance(error, ApiError | BusError | DecodeError | OSError)
                    self._hindered[attempt] = f"what {attempt} left waits: {error if known else repr(error)}"[
                        :500
                    ]
                    _log.warning("%s", self._hindered[attempt], exc_info=not known)
                    is_full = isinstance(error, ApiError) and error.error.code == "E_SPACE"
                    later.create_task(self._again(attempt, name, _FULL_RETRY_S if is_full else _RETRY_S))

    def let_go(self, hashes: Iterable[str]) -> None:
        """The cluster needs this content no more; it goes unless something here does."""
        for sha256 in hashes:
            self._store.unpin(sha256, CLUSTER)
            self._store.remove(sha256)

    async def keep(self, file: LeftFile) -> KeptFile:
        """Tell the coordinator of content that has a pin. Raises BusError, ApiError, DecodeError."""
        request = encode(Kept(node=self._node, files=(file,)))
        answer = await self._bus.request(self._subject, request, timeout_s=_TIMEOUT_S)
        reply = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(reply, KeptReply) or len(reply.files) != 1:
            raise BusError(f"what was kept was answered with {type(reply).__name__}")
        return reply.files[0]

    async def _again(self, attempt: AttemptRef, name: str | None, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._queue.put_nowait((attempt, name))

    async def _take_all(self, attempt: AttemptRef) -> None:
        for left in await asyncio.to_thread(self._leavings.artifacts, attempt):
            if left.fault is not None:
                await self._refuse(attempt, left.name, left.fault)
                continue
            match await self._take_one(attempt, left.name):
                case _Taken.KEPT:
                    self._leavings.remove(attempt, left.name)
                case _Taken.STALE:
                    break
        self._leavings.remove_empty(attempt)

    async def _take_one(self, attempt: AttemptRef, name: str) -> _Taken:
        pin = f"attempt-{attempt.job}.{attempt.index}.{attempt.fence}"
        try:
            blob = await asyncio.to_thread(self._copy, attempt, name, pin=pin)
        except ApiError as error:
            if error.error.code in _WAIT:
                raise
            await self._refuse(attempt, name, error)
            return _Taken.REFUSED
        file = LeftFile(
            name=name, attempt=attempt, sha256=blob.sha256, size=blob.size, media_type=blob.media_type
        )
        kept = await self.keep(file)
        if kept.code in _WAIT:
            raise BusError(kept.message or kept.code)
        if not kept.code:
            await asyncio.to_thread(self._store.pin, blob.sha256, CLUSTER)
        await asyncio.to_thread(self._store.unpin, blob.sha256, pin)
        if not kept.code:
            return _Taken.KEPT
        _log.warning("%s of %s is not kept: %s %s", ascii(name), attempt, kept.code, kept.message)
        return _Taken.STALE if kept.code == "E_FENCED" else _Taken.REFUSED

    def _copy(self, attempt: AttemptRef, name: str, *, pin: str) -> Blob:
        for again in range(_AGAIN):
            fd = self._leavings.open_artifact(attempt, name)
            try:
                return self._store.take(fd, pin=pin)
            except ApiError as error:
                if error.error.code != "E_CHANGED" or again == _AGAIN - 1:
                    raise
            finally:
                os.close(fd)
        raise AssertionError("the last try returns or raises")

    async def _refuse(self, attempt: AttemptRef, name: str, error: ApiError) -> None:
        """It is not taken: the coordinator tells its owner why."""
        said = error.error
        shown = plain(name, 200) or "?"
        await self.keep(LeftFile(name=shown, attempt=attempt, code=said.code, message=said.message[:200]))
