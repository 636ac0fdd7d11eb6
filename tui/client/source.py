"""What the console asks of a cluster. `bus.client.Client` is one source, `tui.client.fake` another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal, Protocol

from bus.feed import Change
from bus.values import Stream

if TYPE_CHECKING:
    from bus.api import (
        Cancelled,
        Changed,
        Cluster,
        Events,
        Job,
        Jobs,
        Log,
        Node,
        Nodes,
        Outlook,
        Plan,
        Resolved,
        Submitted,
        Task,
        Tasks,
        Tokens,
        Whoami,
        Why,
    )
    from bus.bulk import BulkSteer, BulkSteered
    from bus.checkpoints import Checkpoints
    from bus.equipment import DeviceQuery, Devices, Tools
    from bus.follow import Piece, Place
    from bus.gpus import Gpu
    from bus.grep import Grep, LogGrep
    from bus.housekeeping import Connections
    from bus.networks import TopologyEntries
    from bus.past import Changes, OutputThen, Spike
    from bus.people import Users
    from bus.registry import ToolEntries, ToolEntry, ToolSearch, ToolStatsQuery, ToolUse, Workers
    from bus.requests import EventList, WhatIf
    from bus.scheduling import Scheduler
    from bus.series import Measured, SeriesQuery, States
    from bus.spec import JobSpec
    from bus.timeline import Timeline, TimelineQuery
    from bus.training import GangPage, GangRanks
    from bus.upcoming import Upcoming
    from bus.volumes import (
        PoolCreate,
        PoolEntries,
        PoolEntry,
        VolumeCreate,
        VolumeEntries,
        VolumeEntry,
        VolumeList,
    )


class LogSource(Protocol):
    """What is needed to read output; every call raises CorralErrors only."""

    async def logs(
        self,
        task: str | int,
        *,
        stream: Stream = Stream.STDOUT,
        attempt: int = 0,
        offset: int = 0,
        limit: int = 262_144,
    ) -> Log: ...

    async def grep(self, query: LogGrep) -> Grep: ...

    async def output_then(
        self, task: str | int, at: float, *, stream: Stream = Stream.STDOUT, attempt: int = 0
    ) -> OutputThen: ...


class ChangesSource(Protocol):
    """What is needed to tell what changed; every call raises CorralErrors only."""

    async def changes(self, since: float, until: float | None = None, *, before: int = 0) -> Changes: ...


class Source(LogSource, ChangesSource, Protocol):
    """The part of the client's interface that screens use; every call raises CorralErrors only."""

    async def whoami(self) -> Whoami: ...

    async def cluster(self, *, at: float | None = None) -> Cluster: ...

    async def nodes(
        self,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 10_000,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Nodes: ...

    async def node(self, node: str) -> Node: ...

    async def jobs(
        self,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Jobs: ...

    async def job(self, job: str | int) -> Job: ...

    async def tasks(
        self,
        job: str | int,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Tasks: ...

    async def task(self, task: str | int) -> Task: ...

    async def events(self, query: EventList | None = None) -> Events: ...

    async def series(self, query: SeriesQuery) -> Measured: ...

    async def states(self, window_s: float = 86_400.0) -> States: ...

    async def timeline(self, query: TimelineQuery) -> Timeline: ...

    async def devices(self, query: DeviceQuery | None = None) -> Devices: ...

    async def tools(self, *, known: str = "") -> Tools: ...

    async def registered_tools(self, query: ToolSearch | None = None) -> ToolEntries: ...

    async def tool(self, tool: str) -> ToolEntry: ...

    async def tool_stats(self, query: ToolStatsQuery | None = None) -> ToolUse: ...

    async def workers(self) -> Workers: ...

    async def checkpoints(self, target: str = "", *, limit: int = 100, cursor: str = "") -> Checkpoints: ...

    async def training(self, target: str | int, *, limit: int = 100, cursor: str = "") -> GangPage: ...

    async def ranks(self, task: str | int) -> GangRanks: ...

    async def pools(self) -> PoolEntries: ...

    async def topologies(self, *, declared: bool = False) -> TopologyEntries: ...

    async def create_pool(self, pool: PoolCreate) -> PoolEntry: ...

    async def remove_pool(self, pool: str) -> PoolEntry: ...

    async def volumes(self, query: VolumeList | None = None) -> VolumeEntries: ...

    async def create_volume(self, volume: VolumeCreate) -> VolumeEntry: ...

    async def remove_volume(self, volume: str, *, now: bool = False) -> VolumeEntry: ...

    async def undelete_volume(self, volume: str) -> VolumeEntry: ...

    async def snapshot_volume(self, volume: str, snapshot: str) -> VolumeEntry: ...

    async def remove_snapshot(self, volume: str, snapshot: str) -> VolumeEntry: ...

    async def restore_volume(self, volume: str, snapshot: str) -> VolumeEntry: ...

    async def set_volume(
        self,
        volume: str,
        *,
        snapshots: str | None = None,
        backup: bool | None = None,
        backup_pool: str | None = None,
        backup_copies: int | None = None,
    ) -> VolumeEntry: ...

    async def promote_volume(self, volume: str) -> VolumeEntry: ...

    async def users(self, *, known: str = "", at: float | None = None) -> Users: ...

    async def tokens(self) -> Tokens: ...

    async def connections(self) -> Connections: ...

    async def spike(self, since: float, until: float) -> Spike: ...

    async def upcoming(self, limit: int = 50) -> Upcoming: ...

    async def scheduler(self, *, at: float | None = None) -> Scheduler: ...

    async def why(self, target: str | int, *, at: float | None = None) -> Why: ...

    async def cancel(self, target: str | int) -> Cancelled: ...

    async def retry(self, target: str | int) -> Changed: ...

    async def hold(self, job: str | int) -> Changed: ...

    async def release(self, job: str | int) -> Changed: ...

    async def pause(self, job: str | int) -> Changed: ...

    async def resume(self, job: str | int) -> Changed: ...

    async def requeue(self, target: str | int) -> Changed: ...

    async def prioritize(self, job: str | int, priority: int) -> Changed: ...

    async def label(self, node: str, labels: Mapping[str, str | None]) -> Node: ...

    async def resolve(self, event: str, *, note: str = "") -> Resolved: ...

    async def steer_all(self, asked: BulkSteer) -> BulkSteered: ...

    async def submit(self, spec: JobSpec | None = None) -> Submitted: ...

    async def plan(self, spec: JobSpec) -> Plan: ...

    async def what_if(self, change: WhatIf) -> Outlook: ...

    async def scheduler_mode(self, mode: Literal["off", "shadow", "on"]) -> Scheduler: ...

    async def cordon(self, node: str, *, reason: str = "") -> Node: ...

    async def drain(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node: ...

    async def maintenance(self, node: str, *, reason: str = "", deadline_s: float | None = None) -> Node: ...

    async def undrain(self, node: str, *, reason: str = "") -> Node: ...

    async def quarantine_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu: ...

    async def release_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu: ...

    def pieces(
        self, task: str | int, *, stream: Stream = Stream.STDOUT, place: Place | None = None
    ) -> AsyncGenerator[Piece, None]: ...

    def watch(self, *, everyone: bool = False) -> AsyncGenerator[Change, None]: ...


Connect = Callable[[], AbstractAsyncContextManager[Source]]
"""Opens a connection for the time of a block; raises CorralErrors where there is none to be had."""
