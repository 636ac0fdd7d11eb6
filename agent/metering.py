"""What this node measures, without a hole: every sample reaches the coordinator, though late.

A sample is published, and nobody answers that. It counts as heard when heartbeats were answered from then on
for long enough that the coordinator has surely stored it. Until then it stays in the ring on the disk; after
an outage of the bus or of the coordinator, or under a new leader, all that was not heard is sent again,
oldest first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque

from msgspec.structs import replace

from agent.executor import Executor
from agent.log_tail import LogTail, tail_of
from agent.spool import SAMPLES_KEPT, NotWritten, Spool
from agent.usage import UsageSampler
from bus import subjects
from bus.codec import encode
from bus.errors import BusError
from bus.messages import UsageReport
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import NodeName

_log = logging.getLogger(__name__)

_STORED_AFTER_S = 10.0
"""A coordinator that takes a sample has it in its database by then."""

_PAGE_PAUSE_S = 0.1
"""Between two pages of a backlog: a whole cluster may come back at once."""

_AGE_MAX_S = 24 * 3600.0
"""Older than the ring can be: the clock was set meanwhile."""

_HELD_IN_MEMORY = 720
"""Samples that wait here while the disk is full: an hour of them."""


class Meter:
    """`run` measures for ever; `resume` when the coordinator answers, `pause` when it does not."""

    def __init__(
        self, bus: Bus, node: NodeName, executor: Executor, *, spool: Spool, sampler: UsageSampler
    ) -> None:
        self._bus = bus
        self._node = node
        self._executor = executor
        self._spool = spool
        self._sampler = sampler
        self._interval_s = 0.0
        self._known = asyncio.Event()
        self._unwritten: deque[UsageReport] = deque(maxlen=_HELD_IN_MEMORY)
        self._in_flight: deque[tuple[float, float]] = deque(maxlen=SAMPLES_KEPT)  # published, sampled
        self._heard: list[float] = []
        self._sent_to = 0.0
        self._epoch = 0

    def set_interval(self, interval_s: float) -> None:
        """The coordinator wants a sample each `interval_s`."""
        self._interval_s = interval_s
        self.resume()

    def resume(self) -> None:
        """The coordinator is there."""
        self._known.set()

    def pause(self) -> None:
        """It is away: what it has not surely heard is sent again when it is back."""
        self._known.clear()
        self._send_again()

    async def run(self) -> None:
        """Measure each interval, whether anybody listens or not."""
        with tail_of("agent") as tail:
            await self._known.wait()
            while True:
                await asyncio.sleep(self._interval_s)
                try:
                    report = await self._measure()
                except Exception:  # noqa: BLE001 - a probe of this machine: no task is to pay for it
                    _log.exception("this machine cannot be measured")
                    continue
                self._unwritten.append(replace(report, tasks=()))
                self._note_heard()
                await self._write()
                if self._known.is_set():
                    await self._tell(report, tail)

    async def _tell(self, report: UsageReport, tail: LogTail) -> None:
        """With what was logged since the one before, which is said once."""
        lines = tail.take(report.sampled_at)
        await self._publish_backlog(replace(report, log=lines))
        if lines and self._sent_to < report.sampled_at:
            tail.give_back(lines, report.sampled_at)

    async def _measure(self) -> UsageReport:
        held = self._executor.ledger.held.values()
        running = {one.attempt: one.pid for one in held if one.pid}
        look = await asyncio.to_thread(self._sampler.sample, running)
        return UsageReport(
            node=self._node,
            sampled_at=time.time(),
            usage=look.node,
            load=os.getloadavg()[0],
            tasks=tuple(look.tasks),
            gpus=tuple(look.gpus),
        )

    def _note_heard(self) -> None:
        if self._executor.ledger.epoch != self._epoch:
            self._epoch = self._executor.ledger.epoch
            self._send_again()
        vouched_to = self._executor.renewed_from - _STORED_AFTER_S
        while self._in_flight and self._in_flight[0][0] <= vouched_to:
            self._heard.append(self._in_flight.popleft()[1])

    def _send_again(self) -> None:
        self._in_flight.clear()
        self._sent_to = 0.0

    async def _write(self) -> None:
        fresh = list(self._unwritten)
        try:
            await self._spool.add_samples(fresh, heard=self._heard)
        except NotWritten:
            return  # again with the next one
        self._heard.clear()
        self._unwritten.clear()

    async def _publish_backlog(self, newest: UsageReport) -> None:
        """All that is later than what was published last; normally that is `newest` alone.

        Only it tells of tasks: what a task used is nobody's concern once it is over.
        """
        while True:
            try:
                page = await self._spool.unheard_samples(self._sent_to)
            except NotWritten:
                page = []
            page = page or [report for report in self._unwritten if report.sampled_at > self._sent_to]
            for report in page:
                if not await self._publish(newest if report.sampled_at == newest.sampled_at else report):
                    return
            if not page or page[-1].sampled_at >= newest.sampled_at:
                return
            await asyncio.sleep(_PAGE_PAUSE_S)

    async def _publish(self, report: UsageReport) -> bool:
        published_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            if not self._known.is_set():
                return False
            age_s = min(max(0.0, time.time() - report.sampled_at), _AGE_MAX_S)
            aged = replace(report, age_s=age_s)
            await self._bus.publish(subjects.node(self._node, NodeVerb.USAGE), encode(aged))
        except BusError as error:
            _log.debug("a sample waits: %s", error)
            self._send_again()
            return False
        self._in_flight.append((published_at, report.sampled_at))
        self._sent_to = report.sampled_at
        return True
