"""The outbox's way to the coordinator: one report in flight, and everything queued meanwhile in the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from agent.core.events import Answered
from agent.executor import Executor
from agent.words import WORDS_MAX, plain
from bus import subjects
from bus.codec import decode_to_agent_reply, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import Report, ReportReply
from bus.transport import Bus
from bus.values import Ended, Started, TaskEvent

_log = logging.getLogger(__name__)

_EVENTS_MAX = 1000
_OUTPUTS_MAX = 512 * 1024
"""Bytes of outputs in one report, but for a single larger one: with the rest it stays below 1 MiB."""

_QUICK_S = 0.005
_TIMEOUT_S = 5.0
_BACKOFF_S = (0.1, 2.0)
_UNFIT = frozenset(
    {"E_RANGE", "E_CHAR", "E_NUMBER", "E_VALUE", "E_TYPE", "E_ENCODING", "E_TOO_LARGE", "E_DEPTH"}
)
"""What the coordinator calls a report that it will never take, as often as it is said."""


class Reporter:
    """`wake` it when there is something to report; `pause` it while the coordinator does not know us."""

    def __init__(self, bus: Bus, node: str, executor: Executor) -> None:
        self._bus = bus
        self._node = node
        self._executor = executor
        self._subject = subjects.node(node, subjects.NodeVerb.REPORT)
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()
        self._singly = 0  # so many go one by one, since one among them is refused

    def wake(self) -> None:
        self._wanted.set()

    def resume(self) -> None:
        self._known.set()

    def pause(self) -> None:
        self._known.clear()

    async def run(self) -> None:
        """Report for ever; what is not acknowledged is said again."""
        backoff_s = _BACKOFF_S[0]
        while True:
            await self._wanted.wait()
            await self._known.wait()
            batch = next_batch(self._executor.ledger.outbox)
            if not batch:
                self._wanted.clear()
                continue
            if all(isinstance(event, Started) for _, event in batch):
                await self._await_news()
                batch = next_batch(self._executor.ledger.outbox)
            try:
                await self._report_fit(batch[: 1 if self._singly else None])
                backoff_s = _BACKOFF_S[0]
            except (BusError, ApiError, DecodeError) as error:
                _log.warning("report not answered: %s; again in %.1f s", error, backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _BACKOFF_S[1])

    async def _await_news(self) -> None:
        """A quick task ends within milliseconds: its start and its end then cost one commit, not two."""
        self._wanted.clear()
        try:
            async with asyncio.timeout(_QUICK_S):
                await self._wanted.wait()
        except TimeoutError:
            self._wanted.set()

    async def _report_fit(self, batch: list[tuple[int, TaskEvent]]) -> None:
        """One event that is never taken holds up no other: it is found, and told without its words."""
        try:
            await self._report(batch)
        except ApiError as error:
            if error.error.code not in _UNFIT:
                raise
            if len(batch) > 1:
                self._singly = len(batch)
                return
            number, event = batch[0]
            if not isinstance(event, Ended):
                raise
            _log.error("what was told of the end of %s is refused: %s", event.attempt, error)
            await self._report([(number, _bare(event, error))])
        self._singly = max(0, self._singly - len(batch))

    async def _report(self, batch: list[tuple[int, TaskEvent]]) -> None:
        report = make_report(self._node, batch)
        answer = await self._bus.request(self._subject, encode(report), timeout_s=_TIMEOUT_S)
        reply = decode_to_agent_reply(answer.data, subject=self._subject)
        if not isinstance(reply, ReportReply):
            raise BusError(f"a report was answered with {type(reply).__name__}")
        self._executor.handle(Answered(epoch=reply.epoch, drop=reply.drop, acknowledged=reply.acknowledged))


def _bare(event: Ended, error: ApiError) -> Ended:
    """How it ended, and nothing that anybody wrote."""
    return Ended(
        attempt=event.attempt,
        outcome=event.outcome,
        ended_at=event.ended_at,
        started_at=event.started_at,
        exit_code=event.exit_code,
        signal=event.signal,
        message=plain(f"output and message were refused: {error}", WORDS_MAX),
    )


def next_batch(outbox: Iterable[tuple[int, TaskEvent]]) -> list[tuple[int, TaskEvent]]:
    """What one report takes off the front of the outbox."""
    batch: list[tuple[int, TaskEvent]] = []
    size = 0
    for entry in islice(outbox, _EVENTS_MAX):
        event = entry[1]
        if isinstance(event, Ended):
            size += len(event.output or b"") + len(event.stderr_tail)
            if batch and size > _OUTPUTS_MAX:
                break
        batch.append(entry)
    return batch


def make_report(node: str, batch: Sequence[tuple[int, TaskEvent]]) -> Report:
    """The message for a batch that is not empty."""
    return Report(node=node, sequence=batch[-1][0], events=tuple([event for _, event in batch]))
