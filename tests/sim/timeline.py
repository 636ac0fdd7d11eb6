"""What happens when: one heap of calls, and processes whose calls wait while they are stopped."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

EPOCH_S = 1_700_000_000.0
"""The Unix time at which every history begins."""


EVENTS_MAX = 5_000_000
"""No history needs nearly as many: something goes round in circles."""


class Violation(AssertionError):
    """A promise was broken; `invariant` is its name in the list of promises, or what else must hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


class Timeline:
    """True time, which no simulated clock need show. Equal instants happen in the order of their planning."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, at_s: float, call: Callable[..., None], *args: Any) -> None:
        """Let `call(*args)` happen then, or now if that is past."""
        self.events += 1
        if self.events > EVENTS_MAX:
            raise Violation("I8", f"endless: {EVENTS_MAX} events")
        heapq.heappush(self._heap, (max(at_s, self.now), self.events, call, args))

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        self.at(self.now + delay_s, call, *args)

    def run(self, until_s: float, *, over: Callable[[], bool]) -> None:
        """Until that instant, or until `over()`."""
        heap = self._heap
        while heap and heap[0][0] <= until_s and not over():
            self.now, _, call, args = heapq.heappop(heap)
            call(*args)
        if not over():
            self.now = until_s


class Host:
    """A machine's clocks. `wall_offset_s` may be set to anything at any time; boot time only grows.

    Both run `rate` times as fast as true time.
    """

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.timeline = timeline
        self.name = name
        self.wall_offset_s = 0.0
        self.booted_at = -100.0
        self.boots = 1
        self.rate = 1.0
        self._gained_s = 0.0  # on true time, up to `_since`
        self._since = 0.0

    def boottime_s(self) -> float:
        return self.timeline.now - self.booted_at + self._gain_s()

    def wall_s(self) -> float:
        return EPOCH_S + self.timeline.now + self._gain_s() + self.wall_offset_s

    def drift(self, rate: float) -> None:
        """From now on its clocks run at this rate; what they gained or lost so far stays."""
        self._gained_s, self._since, self.rate = self._gain_s(), self.timeline.now, rate

    def _gain_s(self) -> float:
        return self._gained_s + (self.timeline.now - self._since) * (self.rate - 1.0)

    def reboot(self) -> None:
        self.booted_at = self.timeline.now + self._gain_s()
        self.boots += 1


class VirtualTime:
    """Stands in for the module `time` in what runs on the simulated hosts: shows the clocks of `host`."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.host: Host | None = None

    def time(self) -> float:
        assert self.host is not None, "no simulated process is running"
        return self.host.wall_s()

    def monotonic(self) -> float:
        assert self.host is not None, "no simulated process is running"
        return self.host.boottime_s()

    def clock_gettime(self, clock: int) -> float:
        assert self.host is not None and clock == self.CLOCK_BOOTTIME
        return self.host.boottime_s()


VIRTUAL_TIME = VirtualTime()
"""One for all: a history runs alone in its operating-system process."""


class Process:
    """Code that runs on a host: may be stopped (SIGSTOP: what comes, waits) and killed (nothing comes)."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.timeline = host.timeline
        self.alive = True
        self.stopped = False
        self._backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    @property
    def running(self) -> bool:
        return self.alive and not self.stopped

    def enter(self, call: Callable[..., None], *args: Any) -> None:
        """Run `call` in this process, now or when it goes on."""
        if self.stopped:
            self._backlog.append((call, args))
        elif self.alive:
            VIRTUAL_TIME.host = self.host
            call(*args)

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """A timer of this process."""
        self.timeline.after(delay_s, self.enter, call, *args)

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT: everything that came meanwhile happens now, in order."""
        self.stopped = False
        backlog, self._backlog = self._backlog, []
        for call, args in backlog:
            self.enter(call, *args)

    def kill(self) -> None:
        self.alive = self.stopped = False
        self._backlog.clear()
