"""Tasks that wait for the jobs they submitted: asked for while they wait, and told once all are over.

The question is a file that the task leaves, so it outlives us, our coordinator and any outage; the answer is
a file that the guard writes. Nothing of it is kept here but which question was answered last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from agent.core.model import Phase
from agent.executor import Executor
from agent.leavings import Leavings
from agent.results import Results
from bus import subjects
from bus.children import NOT_RANK_0, WAITING_AT_ONCE_MAX, ChildEnd, ChildrenAsked, ChildrenReply
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import AttemptRef

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0
_TIMEOUT_S = 5.0


class Ask(Struct, frozen=True):
    """What the helper writes. `place`: up to there in its file stand the jobs that it means."""

    ask: str
    place: int


_ask = msgspec.json.Decoder(Ask)


class Children:
    """`run` for ever; `look` does what is due."""

    def __init__(self, bus: Bus, node: str, leavings: Leavings, results: Results) -> None:
        self._bus = bus
        self._node = node
        self._leavings = leavings
        self._results = results
        self._subject = subjects.node(node, NodeVerb.CHILDREN)
        self._answered: dict[AttemptRef, str] = {}
        self._told = True  # whether the coordinator is to hear when nobody waits any more

    async def run(self, executor: Executor) -> None:
        """Look each second."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.look(executor)
            except (BusError, ApiError, DecodeError) as error:
                _log.info("tasks that wait for their jobs wait on: %s", error)

    async def look(self, executor: Executor) -> None:
        """Ask for those that wait, tell those whose jobs are all over.

        Raises BusError, ApiError, DecodeError.
        """
        held = executor.ledger.held
        running = [a for a, one in held.items() if one.phase is Phase.RUNNING and not one.silent]
        self._answered = {attempt: ask for attempt, ask in self._answered.items() if attempt in held}
        asks = await asyncio.to_thread(self._read, running)
        for attempt in [attempt for attempt in asks if attempt.rank]:
            self._tell(executor, attempt, asks.pop(attempt), {"error": NOT_RANK_0})
        waiting = [a for a, ask in asks.items() if self._results.heard_to(a) >= ask.place]
        if not waiting and not self._told:
            return
        self._told = bool(waiting)
        asked = ChildrenAsked(node=self._node, attempts=tuple(waiting[:WAITING_AT_ONCE_MAX]))
        answer = await self._bus.request(self._subject, encode(asked), timeout_s=_TIMEOUT_S)
        reply = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(reply, ChildrenReply):
            raise BusError(f"what became of jobs was answered with {type(reply).__name__}")
        for found in reply.found:
            if found.ended is not None and found.attempt in asks:
                children = [_told(child) for child in found.ended]
                self._tell(executor, found.attempt, asks[found.attempt], {"children": children})

    def _tell(self, executor: Executor, attempt: AttemptRef, ask: Ask, answer: dict[str, object]) -> None:
        text = msgspec.json.encode({"ask": ask.ask, "place": ask.place, **answer})
        if executor.tell_children(attempt, text):
            self._answered[attempt] = ask.ask

    def _read(self, running: Iterable[AttemptRef]) -> dict[AttemptRef, Ask]:
        """The questions that are not answered yet."""
        found: dict[AttemptRef, Ask] = {}
        for attempt in running:
            data = self._leavings.read_ask(attempt)
            if not data:
                continue
            try:
                ask = _ask.decode(data)
            except (ValueError, RecursionError):
                continue  # half of one; or none of the helper's
            if self._answered.get(attempt) != ask.ask:
                found[attempt] = ask
        return found


def _told(child: ChildEnd) -> dict[str, object]:
    """As the task reads it: what was refused has no job."""
    told: dict[str, object] = msgspec.to_builtins(child)
    return {**told, "job": child.job or None, "state": child.state or "refused"}
