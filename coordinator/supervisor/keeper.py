"""Keeps one service running: wait for what it needs, start, probe, restart with exponential backoff."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from msgspec import Struct

from bus.errors import CorralError
from bus.supervision import ProcessHealth, ProcessStatus
from coordinator.supervisor.child import Child, Launch

log = logging.getLogger("corral.supervisor")

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0
STABLE_S = 20.0
"""Healthy for so long, a service has earned that its next restart is quick again."""

PROBE_STARTING_S = 0.05
PROBE_HEALTHY_S = 5.0
PROBE_TIMEOUT_S = 5.0


HUNG_MISSES = 4
"""So many probes in a row must have found a service silent before it is taken for hung: on a machine that is
merely slow one of them gets through."""

LOOP_FAILURES = 3
"""From so many ends in a row on, the status says how many there were."""


class Unhealthy(Exception):
    """A probe found the service not (yet) well; the text says what was seen. `silent`: it said nothing."""

    def __init__(self, text: str, *, silent: bool = False) -> None:
        self.silent = silent
        super().__init__(text)


class LaunchFailed(Exception):
    """A service could not be prepared for its start; the text says why."""


class Service(Struct, frozen=True, kw_only=True):
    """What to keep running. `launch` may raise LaunchFailed or OSError, `probe` Unhealthy.

    What `probe` answers is shown beside the service's health: its role, if it has several. One that was well
    and is silent for `hung_after_s` is killed, and starts again; None: nobody kills it. `calm_codes`: with
    these it ends in good order, and starts again at once.
    """

    name: str
    launch: Callable[[], Awaitable[Launch]]
    probe: Callable[[], Awaitable[str | None]]
    needs: tuple[str, ...] = ()
    address: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    hung_after_s: float | None = None
    calm_codes: tuple[int, ...] = ()


def backoff_s(failures: int) -> float:
    """Pause before a start that follows `failures` unasked ends in a row."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 20))


class Keeper:
    """The life of one service until `stop`. `was_healthy` is set once and stays."""

    def __init__(self, service: Service, *, status: ProcessStatus, changed: Callable[[], None]) -> None:
        self.service = service
        self.status = status
        self.was_healthy = asyncio.Event()
        self._changed = changed
        self._child: Child | None = None
        self._silent_since_s: float | None = None
        self._misses = 0
        self._hung = ""
        self._started_at = time.time()

    async def run(self, needs: tuple[Keeper, ...]) -> None:
        """Start and restart until cancelled; returns only by cancellation."""
        for needed in needs:
            await needed.was_healthy.wait()
        while True:
            delay_s = await self._one_life()
            await asyncio.sleep(delay_s)
            self.status.restarts += 1

    async def stop(self) -> None:
        """Stop the process, within the service's bound. `run` must have been cancelled before."""
        if self._child is not None:
            polite = await self._child.stop(self.service.stop_signal, timeout_s=self.service.stop_timeout_s)
            self._set(ProcessHealth.STOPPED, "" if polite else "had to be killed")
        else:
            self._set(ProcessHealth.STOPPED)
        self.status.identity = None
        self._changed()

    async def _one_life(self) -> float:
        """From start to end of one process; returns the pause before the next."""
        self._set(ProcessHealth.STARTING)
        try:
            self._child = Child(await self.service.launch())
        except (LaunchFailed, CorralError, OSError) as error:  # of this service: the others are kept
            return self._on_failure(str(error))
        self.status.identity = self._child.identity
        self._changed()
        probing = asyncio.create_task(self._probe_until_end(), name=f"probe {self.service.name}")
        try:
            await self._child.ended.wait()
        finally:
            probing.cancel()
        code = self._child.code
        self._child = None
        self.status.identity = None
        assert code is not None
        if code in self.service.calm_codes:
            self._set(ProcessHealth.BACKOFF, "starts again")
            return BACKOFF_FIRST_S
        return self._on_failure(self._hung or describe_end(code))

    async def _probe_until_end(self) -> None:
        healthy_since: float | None = None
        self._silent_since_s, self._misses, self._hung = None, 0, ""
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    self._set_role(await self.service.probe() or "")
            except (Unhealthy, TimeoutError) as error:
                message = str(error) or f"no answer within {PROBE_TIMEOUT_S:g} s"
                if self.status.health is ProcessHealth.HEALTHY:
                    self._set(ProcessHealth.UNHEALTHY, message)
                elif message != self.status.message:
                    self._set(self.status.health, message)
                healthy_since = None
                self._note_silence(isinstance(error, TimeoutError) or error.silent)
            else:
                self._silent_since_s, self._misses = None, 0
                healthy_since = healthy_since or time.monotonic()
                if time.monotonic() - healthy_since >= STABLE_S:
                    self.status.failures = 0
                if self.status.health is not ProcessHealth.HEALTHY:
                    self._on_healthy()
            starting = self.status.health is ProcessHealth.STARTING
            await asyncio.sleep(PROBE_STARTING_S if starting else PROBE_HEALTHY_S)

    def _note_silence(self, silent: bool) -> None:
        """Kill what was well once in this life and has not been heard of since for too long."""
        bound_s = self.service.hung_after_s
        if not silent or bound_s is None or self.status.health is not ProcessHealth.UNHEALTHY:
            self._silent_since_s, self._misses = None, 0
            return
        now_s = time.monotonic()
        self._silent_since_s = self._silent_since_s or now_s
        self._misses += 1
        silent_s = now_s - self._silent_since_s
        if self._misses >= HUNG_MISSES and silent_s >= bound_s and self._child is not None and not self._hung:
            self._hung = f"hung: {self.status.message}; killed after {silent_s:.0f} s"
            log.error("%s: %s", self.service.name, self._hung)
            self._child.kill()

    def _set_role(self, role: str) -> None:
        if role != self.status.role:
            log.info("%s: %s", self.service.name, role or "no role")
            self.status.role = role
            self._changed()

    def _on_healthy(self) -> None:
        if self.status.ready_after_s is None:
            self.status.ready_after_s = round(time.time() - self._started_at, 3)
        self._set(ProcessHealth.HEALTHY)
        self.was_healthy.set()

    def _on_failure(self, message: str) -> float:
        self.status.failures += 1
        delay_s = backoff_s(self.status.failures)
        if self.status.failures >= LOOP_FAILURES:
            message += f" ({self.status.failures} times in a row)"
        log.warning("%s: %s; starts again in %.1f s", self.service.name, message, delay_s)
        self._set(ProcessHealth.BACKOFF, message)
        return delay_s

    def _set(self, health: ProcessHealth, message: str = "") -> None:
        if health is not self.status.health:
            self.status.since = time.time()
        if health in (ProcessHealth.STARTING, ProcessHealth.BACKOFF, ProcessHealth.STOPPED):
            self.status.role = ""
        self.status.health = health
        self.status.message = message
        self._changed()


def describe_end(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
