"""Carrying a stroke out: strike, wait, heal. Nothing here asks whether the cluster bears it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from bus.errors import BusError
from bus.storage import BUCKETS, stream_of
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import Blow
from tests.chaos.plan import AGENTS, COORDINATORS, Fault, Stroke

DELETE_TIMEOUT_S = 5.0
DELETE_TRIES_S = 20.0


class _Lasts:
    """The time between a blow and its healing, which begins when the blow has landed."""

    def __init__(self, seconds: float, on_blow: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_blow = on_blow

    async def over(self) -> None:
        self._on_blow()
        await asyncio.sleep(self._seconds)


class Striker:
    """Strikes `cluster`; `blows` tells what it did, once it has healed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.blows: list[Blow] = []

    async def strike(self, stroke: Stroke, on_blow: Callable[[], None]) -> str:
        """From the blow to its healing; answers who was struck. `on_blow` is called when it has landed."""
        name = await self._cluster.leader() if stroke.fault in _LEADERS else stroke.target
        begin = time.time()
        try:
            await self._deal(stroke.fault, name, _Lasts(stroke.lasts_s, on_blow))
        finally:
            self.blows.append(Blow(fault=str(stroke.fault), struck=name, begin=begin, end=time.time()))
        return name

    async def _deal(self, fault: Fault, name: str, lasts: _Lasts) -> None:
        cluster = self._cluster
        match fault:
            case Fault.LEADER_KILL | Fault.AGENT_KILL | Fault.NATS_KILL | Fault.POSTGRES_KILL:
                await self._end([name], signal.SIGKILL, lasts=lasts)
            case Fault.COORDINATORS_KILL:
                await self._end(COORDINATORS, signal.SIGKILL, lasts=lasts)
            case Fault.ALL_KILL:
                everybody = (*COORDINATORS, *AGENTS, "nats", "postgres")
                await self._end(everybody, signal.SIGKILL, lasts=lasts, with_guards=True)
            case Fault.AGENT_AND_GUARD_KILL:
                await self._end([name], signal.SIGKILL, lasts=lasts, with_guards=True)
            case Fault.LEADER_RESTART | Fault.AGENT_RESTART | Fault.NATS_RESTART:
                await self._end([name], signal.SIGTERM, lasts=lasts)
            case Fault.POSTGRES_RESTART:
                await self._end([name], signal.SIGINT, lasts=lasts)  # its fast shutdown
            case Fault.NATS_WIPED:
                await self._wipe(lasts)
            case Fault.BUCKETS_DELETED:
                await self._delete_buckets(lasts)
            case (
                Fault.LEADER_STOP
                | Fault.AGENT_STOP
                | Fault.AGENT_ZOMBIE
                | Fault.NATS_STOP
                | Fault.POSTGRES_STOP
            ):
                cluster.pause(name)
                await lasts.over()
                cluster.resume(name)
            case Fault.GUARD_STOP:
                await self._stop_guard(name, lasts)
            case Fault.GUARD_KILL:
                _signal(cluster.guards(name), signal.SIGKILL)
                await lasts.over()
            case Fault.LEADER_NO_BUS:
                await self._hold([f"{name}.bus"], lasts)
            case Fault.LEADER_NO_DATABASE:
                await self._hold([f"{name}.database"], lasts)
            case Fault.LEADER_ALONE:
                await self._hold([f"{name}.bus", f"{name}.database"], lasts)
            case Fault.AGENT_PARTITION:
                cluster.part(name)
                await lasts.over()
                cluster.rejoin(name)
            case Fault.AGENT_HICCUP:
                cluster.cable(name).cut()
                await lasts.over()
                cluster.cable(name).mend()

    async def _end(
        self, names: Sequence[str], number: signal.Signals, *, lasts: _Lasts, with_guards: bool = False
    ) -> None:
        cluster = self._cluster
        cluster.hold(*names)
        guards = [pid for name in names if with_guards and name in AGENTS for pid in cluster.guards(name)]
        await asyncio.gather(*(cluster.end_process(name, number) for name in names))
        _signal(guards, signal.SIGKILL)
        await lasts.over()
        cluster.release(*names)

    async def _wipe(self, lasts: _Lasts) -> None:
        cluster = self._cluster
        cluster.hold("nats")
        await cluster.end_process("nats", signal.SIGKILL)
        cluster.wipe_jetstream()
        await lasts.over()
        cluster.release("nats")

    async def _delete_buckets(self, lasts: _Lasts) -> None:
        """As somebody with a coordinator's rights could; again until the server did it."""
        left = set(BUCKETS)
        give_up_at = time.monotonic() + DELETE_TRIES_S
        while left and time.monotonic() < give_up_at:
            with suppress(BusError):
                async with self._cluster.coordinators_bus() as bus:
                    for bucket in sorted(left):
                        asked = f"$JS.API.STREAM.DELETE.{stream_of(bucket)}"
                        await bus.request(asked, b"", timeout_s=DELETE_TIMEOUT_S)
                        left.remove(bucket)
        await lasts.over()
        if left:
            raise TimeoutError(f"the buckets {sorted(left)} could not be deleted")

    async def _stop_guard(self, agent: str, lasts: _Lasts) -> None:
        guards = self._cluster.guards(agent)
        _signal(guards, signal.SIGSTOP)
        await lasts.over()
        _signal(guards, signal.SIGCONT)

    async def _hold(self, cables: Sequence[str], lasts: _Lasts) -> None:
        for cable in cables:
            self._cluster.cable(cable).hold()
        await lasts.over()
        for cable in cables:
            self._cluster.cable(cable).mend()


_LEADERS = frozenset(
    {
        Fault.LEADER_KILL,
        Fault.LEADER_STOP,
        Fault.LEADER_RESTART,
        Fault.LEADER_NO_DATABASE,
        Fault.LEADER_NO_BUS,
        Fault.LEADER_ALONE,
    }
)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
