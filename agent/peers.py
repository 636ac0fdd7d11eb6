"""Content from other nodes: asked of the coordinator, fetched from the agent that has it, verified.

    peers = Peers(bus, "n1", store)
    await peers.fetch([Wanted(sha256, size), ...], pin="attempt-1042.7.2", attempt=ref)

What is here already is only pinned. What a cut, a restart or a damaged source left half done goes on from its
last byte, from whoever has it; only content whose hash is right is ever kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from agent.blobs import PIECE, BlobStore, Incoming
from agent.core.pacing import Pace
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.replication import BLOBS_AT_ONCE, Fetch, FetchReply
from bus.streams import ByteStream, StreamBroken, joined
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_RETRY_FIRST_S, _RETRY_MAX_S = 0.2, 5.0
_FOR_GOOD = range(400, 500)
_BAD_SOURCE = frozenset({"E_HASH", "E_NOT_FOUND"})


class Wanted(Struct, frozen=True):
    """Content by its hash, of so many bytes."""

    sha256: str
    size: int


class Peers:
    """`fetch` from several tasks at once. `pace`: of what is fetched without hurry, all together."""

    def __init__(self, bus: Bus, node: str, store: BlobStore, *, pace: Pace | None = None) -> None:
        self._bus = bus
        self._node = node
        self._store = store
        self._pace = pace or Pace(0.0)
        self._subject = subjects.node(node, NodeVerb.FETCH)
        self.received = 0  # bytes, ever

    async def fetch(
        self, wanted: Sequence[Wanted], *, pin: str, attempt: AttemptRef | None = None, hurry: bool = True
    ) -> None:
        """Until all of it is here, with this pin. An outage only delays: cancel it where time is short.

        `attempt`: it is content of a checkpoint of its task, and it is held here. `hurry`: at no pace but the
        network's. Raises ApiError for what may not change by itself: E_NOT_FOUND (nobody has it), E_FENCED
        (not for this node), E_SPACE.
        """
        left = {each.sha256: each for each in wanted}
        avoid: tuple[str, ...] = ()
        retry_s = _RETRY_FIRST_S
        while True:
            for sha256 in [sha256 for sha256 in left if self._store.has(sha256)]:
                await asyncio.to_thread(self._store.pin, sha256, pin)
                del left[sha256]
            if not left:
                return
            batch = list(left.values())[:BLOBS_AT_ONCE]
            before = self.received
            try:
                avoid = await self._some(batch, avoid, pin=pin, attempt=attempt, hurry=hurry)
            except ApiError as error:
                if _is_for_good(error):
                    raise
                trouble = str(error)
            except (BusError, DecodeError, StreamBroken) as error:
                trouble = str(error)
            else:
                retry_s = _RETRY_FIRST_S
                continue
            if self.received > before:
                retry_s = _RETRY_FIRST_S
            _log.warning("content from other nodes: %s; again in %g s", trouble, retry_s)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _RETRY_MAX_S)

    async def _some(
        self,
        batch: list[Wanted],
        avoid: tuple[str, ...],
        *,
        pin: str,
        attempt: AttemptRef | None,
        hurry: bool,
    ) -> tuple[str, ...]:
        """What one holder has of `batch`. Returns whom to avoid next."""
        with ExitStack() as open_parts:
            parts: dict[str, Incoming] = {}
            for each in batch:
                part = await asyncio.to_thread(self._store.receive, each.size, each.sha256)
                parts[each.sha256] = open_parts.enter_context(part)
            asked = tuple([(sha256, part.offset) for sha256, part in parts.items()])
            reply = await self._ask(Fetch(node=self._node, blobs=asked, attempt=attempt, avoid=avoid))
            async with joined(self._bus, reply.holder, reply.stream, as_node=True) as stream:
                for sha256 in reply.blobs:
                    part, is_whole = parts[sha256], parts[sha256].offset == 0
                    try:
                        await self._receive(stream, part, pin=pin, hurry=hurry)
                    except (ApiError, StreamBroken) as error:
                        code = error.error.code if isinstance(error, ApiError) else error.code
                        if code not in _BAD_SOURCE:
                            raise
                        part.discard()
                        _log.warning("%s gives no good copy: %s", reply.holder, error)
                        # what was gone on with may have been wrong before
                        return (*avoid, reply.holder) if is_whole else avoid
        return avoid

    async def _receive(self, stream: ByteStream, part: Incoming, *, pin: str, hurry: bool) -> None:
        loop = asyncio.get_running_loop()
        while part.left:
            piece = await stream.read(min(PIECE, part.left))
            if not piece:
                raise StreamBroken("E_STREAM", f"the other node ended {part.left} bytes too early")
            await asyncio.to_thread(part.write, piece)
            self.received += len(piece)
            if not hurry:
                await asyncio.sleep(self._pace.take(len(piece), loop.time()))
        await asyncio.to_thread(part.finish, pin=pin)

    async def _ask(self, request: Fetch) -> FetchReply:
        answer = await self._bus.request(self._subject, encode(request), timeout_s=_TIMEOUT_S)
        reply = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(reply, FetchReply):
            raise BusError(f"a request for content was answered with {type(reply).__name__}")
        asked = {sha256 for sha256, _ in request.blobs}
        if not reply.blobs or not asked.issuperset(reply.blobs):
            raise BusError("the coordinator answered with other content than was asked for")
        return reply


def _is_for_good(error: ApiError) -> bool:
    code = error.error.code
    return code == "E_SPACE" or (error.error.status in _FOR_GOOD and code != "E_CONFLICT")
