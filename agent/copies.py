"""Copies that the cluster wants here, fetched from other nodes; and what this node says of its content.

An order is known by the coordinator alone, which repeats it until the copy is told: nothing of it need
outlive this process. What is fetched has the pin `copy` until it was told, so that a crash before or after
loses nothing: the next agent tells it again. Once the cluster counts on it, it has the pin `cluster`, as what
tasks left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from agent.blobs import BlobStore
from agent.peers import Peers, Wanted
from agent.taking import CLUSTER
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.replication import BLOBS_AT_ONCE, HELD_AT_ONCE, Held, HeldBlob, HeldReply
from bus.subjects import NodeVerb
from bus.transport import Bus

_log = logging.getLogger(__name__)

COPY = "copy"
AT_ONCE = 2
"""So many are fetched at a time; small ones go together and count as one."""

_TOGETHER_BYTES = 16 * 1024 * 1024
_TIMEOUT_S = 10.0
_RETRY_S = 2.0
_TOLD = frozenset({"E_SPACE", "E_HASH"})
"""Why a copy fails that the coordinator should know: another node may have more luck."""


class Copies:
    """`run` for ever; `order` what is wanted, `tell` what was found. Ordered twice is fine."""

    def __init__(self, bus: Bus, node: str, store: BlobStore, peers: Peers) -> None:
        self._bus = bus
        self._node = node
        self._store = store
        self._peers = peers
        self._subject = subjects.node(node, NodeVerb.HELD)
        self._ordered: dict[str, Wanted] = {}
        self._under_way: set[str] = set()
        self._came = asyncio.Event()

    def order(self, blobs: Iterable[tuple[str, int]]) -> None:
        """Fetch these, those first that were ordered first."""
        for sha256, size in blobs:
            if sha256 not in self._under_way:
                self._ordered.setdefault(sha256, Wanted(sha256, size))
        self._came.set()

    async def run(self) -> None:
        """First tell what an agent before us may not have told."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_again())
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def tell(self, found: Sequence[HeldBlob]) -> list[bool]:
        """Of each, whether the cluster counts on it here. Waits until the coordinator answers."""
        counted: list[bool] = []
        for start in range(0, len(found), HELD_AT_ONCE):
            counted += await self._tell(tuple(found[start : start + HELD_AT_ONCE]))
        return counted

    async def _tell(self, page: tuple[HeldBlob, ...]) -> tuple[bool, ...]:
        request = encode(Held(node=self._node, blobs=page))
        while True:
            try:
                answer = await self._bus.request(self._subject, request, timeout_s=_TIMEOUT_S)
                reply = decode_to_agent_reply(answer.data, subject=self._subject)
                if isinstance(reply, HeldReply) and len(reply.counted) == len(page):
                    return reply.counted
                _log.error("what is held was answered with %s", type(reply).__name__)
            except (BusError, DecodeError, ApiError) as error:
                _log.info("what is held is told later: %s", error)
            await asyncio.sleep(_RETRY_S)

    async def _tell_again(self) -> None:
        untold: list[Wanted] = []
        for sha256 in self._store.names:
            if COPY in self._store.pins(sha256):
                with suppress(ApiError):  # a scrub found it damaged just now, and tells
                    untold.append(Wanted(sha256, self._store.size(sha256)))
        await self._have(untold)

    async def _work(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                self._came.clear()
                await self._came.wait()
                continue
            try:
                await self._copy(batch)
            finally:
                self._under_way.difference_update(each.sha256 for each in batch)

    def _next(self) -> list[Wanted]:
        batch: list[Wanted] = []
        size = 0
        for each in list(self._ordered.values())[:BLOBS_AT_ONCE]:
            size += each.size
            if batch and size > _TOGETHER_BYTES:
                break
            batch.append(self._ordered.pop(each.sha256))
        self._under_way.update(each.sha256 for each in batch)
        return batch

    async def _copy(self, batch: list[Wanted]) -> None:
        try:
            await self._peers.fetch(batch, pin=COPY, hurry=False)
        except (ApiError, OSError) as error:
            code = error.error.code if isinstance(error, ApiError) else "E_SPACE"
            _log.warning("%d copies are not made: %s", len(batch), error)
            lacking = [each for each in batch if not self._store.has(each.sha256)]
            if code in _TOLD:
                await self.tell([HeldBlob(each.sha256, each.size, code) for each in lacking])
        await self._have([each for each in batch if self._store.has(each.sha256)])

    async def _let_go(self, sha256: str) -> None:
        try:
            await asyncio.to_thread(self._store.unpin, sha256, COPY)
        except OSError as error:
            _log.warning("a copy that is gone keeps its mark: %s", error)

    async def _have(self, blobs: list[Wanted]) -> None:
        counted = await self.tell([HeldBlob(each.sha256, each.size) for each in blobs])
        for each, counts in zip(blobs, counted, strict=True):
            try:
                if counts:
                    await asyncio.to_thread(self._store.pin, each.sha256, CLUSTER)
                await asyncio.to_thread(self._store.unpin, each.sha256, COPY)
            except ApiError as error:  # a scrub found it damaged just now, and tells
                _log.warning("a copy is gone again: %s", error)
                await self._let_go(each.sha256)
            except OSError as error:  # a full disk: it keeps its pin, and is told again after a start
                _log.warning("a copy is not marked as counted: %s", error)
