"""A scheduling round over a large pool: the coordinator's core alone, in memory, as production steps it.

Nodes of five kinds, all taken; far more tasks wait than run. Then again and again some tasks end and a round
gives their places away: how long that takes, with the rows and messages that it leaves, made but not written.
Garbage is collected as a coordinator has it collected.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec

from bus.spec import JobSpec, ResourceSpec
from bus.values import (
    AttemptRef,
    Ended,
    GpuInfo,
    Inventory,
    NodeKind,
    NodeName,
    Outcome,
    Resources,
    Started,
    UserName,
)
from coordinator.core.effects import Effect, SendAssign
from coordinator.core.events import AgentRegistered, JobSubmitted, ScheduleDue, TasksReported, Tick
from coordinator.core.foresight import Change, compared
from coordinator.core.machine import step
from coordinator.core.model import Cluster
from coordinator.core.scheduler.ground import ground_of, joined, slices
from coordinator.serve import COLLECT_AFTER
from tests.bench import cluster as real
from tests.bench.figures import Figure, Sizes, percentile
from tests.bench.processes import MIB, rss_bytes

KINDS = (
    Resources(8_000, 32 * 1024),
    Resources(16_000, 64 * 1024),
    Resources(32_000, 128 * 1024),
    Resources(64_000, 256 * 1024),
    Resources(32_000, 256 * 1024, gpus=4),
)
CORES, MEMORY_GIB, GPUS = (1, 2, 4, 8), (1, 2, 8, 16), (0, 0, 0, 1)
"""Of a task: 48 shapes, as each is asked for with three."""

WALLTIMES_S = (60.0, 600.0, 3_600.0, 36_000.0)

ENDS_SHARE = 0.02
"""Of the running tasks that end between two rounds."""

SEED = 1


async def measure(_: real.Cluster, sizes: Sizes) -> list[Figure]:
    """Seconds of a round, placements per second of the first one, MiB of resident memory."""
    with _collecting_rarely():
        return _measure(sizes)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """As `coordinator.serve` does it; each `Pool` is frozen once it is full, as what a leader begins with."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def _measure(sizes: Sizes) -> list[Figure]:
    pool = Pool(sizes)
    before = rss_bytes(os.getpid())
    first_s, placed = pool.round()
    held = [pool.hold_ms() for _ in range(sizes.repeats)]
    rounds, ticks = _rounds(pool, sizes.rounds)
    note = f"{sizes.round_nodes:,} nodes, {sizes.round_tasks:,} tasks queued, {len(pool.cluster.lines)} lines"
    samples = tuple(rounds)
    learned = Pool(sizes, policy="rollout", timed=True)
    learned.round()
    ahead, _ = _rounds(learned, sizes.rounds)
    how = "the same with walltimes, a place reserved, and a policy that looks ahead"
    return [
        Figure(name="rounds.first", value=placed / first_s, unit="placements/s", note=f"{placed:,} at once"),
        Figure(name="rounds.p50", value=percentile(rounds, 50), unit="s", note=note, samples=samples),
        Figure(name="rounds.p99", value=percentile(rounds, 99), unit="s", note=note),
        Figure(name="rounds.tick", value=percentile(ticks, 99), unit="s", note="p99 of the tick between two"),
        Figure(name="rounds.learned.p50", value=percentile(ahead, 50), unit="s", note=how),
        Figure(name="rounds.learned.p99", value=percentile(ahead, 99), unit="s", note=how),
        Figure(
            name="rounds.whatif_hold",
            value=percentile(held, 50),
            unit="ms",
            note=f"the longest piece of a question what a drain would do, {placed:,} tasks running",
            samples=tuple(held),
        ),
        Figure(name="rounds.memory", value=before / MIB, unit="MiB", note="with all nodes and tasks"),
    ]


def _rounds(pool: Pool, number: int) -> tuple[list[float], list[float]]:
    """Seconds of so many rounds, before each of which some tasks end, and of the ticks between them."""
    rounds, ticks = [], []
    for _ in range(number):
        pool.end_some()
        rounds.append(pool.round()[0])
        ticks.append(pool.tick())
    return rounds, ticks


class Pool:
    """The cluster, its clock, and what runs on each node."""

    def __init__(self, sizes: Sizes, *, policy: str = "", timed: bool = False) -> None:
        self.cluster = Cluster(policy=policy)
        self.random = random.Random(SEED)
        self.now_s = 1e9
        self.running: list[tuple[NodeName, AttemptRef]] = []
        for number in range(sizes.round_nodes):
            step(self.cluster, _registered(number), self.now_s)
        for number, spec in enumerate(_jobs(self.random, sizes.round_tasks, timed=timed), start=1):
            step(self.cluster, _submitted(number, spec), self.now_s)
        gc.freeze()

    def round(self) -> tuple[float, int]:
        """How long it took, and how many tasks it placed."""
        self.now_s += 1.0
        self.cluster.dirty = True
        begin = time.perf_counter()
        effects = step(self.cluster, ScheduleDue(), self.now_s)
        seconds = time.perf_counter() - begin
        return seconds, self._start(effects)

    def tick(self) -> float:
        """How long the look at silence, deadlines and waiting takes, every second."""
        for node in self.cluster.nodes.values():
            node.last_beat_s = self.now_s
        begin = time.perf_counter()
        step(self.cluster, Tick(), self.now_s)
        return time.perf_counter() - begin

    def hold_ms(self) -> float:
        """How long a question what a drain would do keeps the loop at most from everything else."""
        nodes = list(self.cluster.nodes.values())
        pieces, parts = [], []
        for some in slices(nodes):
            begin = time.perf_counter()
            parts.append(ground_of(self.cluster, some))
            pieces.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        change = Change(drain=frozenset([nodes[0].name]))
        compared(self.cluster, change, now_s=self.now_s, ground=joined(parts))
        return max(*pieces, time.perf_counter() - begin) * 1000

    def _start(self, effects: list[Effect]) -> int:
        placed = 0
        for effect in effects:
            if not isinstance(effect, SendAssign):
                continue
            refs = [placement.attempt for placement in effect.placements if not placement.waiting]
            started = tuple(Started(attempt=ref, started_at=self.now_s, pid=1) for ref in refs)
            step(self.cluster, TasksReported(node=effect.node, sequence=1, events=started), self.now_s)
            self.running += ((effect.node, ref) for ref in refs)
            placed += len(effect.placements)
        return placed

    def end_some(self) -> None:
        """Some of what runs ends, anywhere."""
        self.random.shuffle(self.running)
        for _ in range(round(len(self.running) * ENDS_SHARE)):
            node, ref = self.running.pop()
            ended = Ended(
                attempt=ref,
                outcome=Outcome.EXITED,
                exit_code=0,
                started_at=self.now_s,
                ended_at=self.now_s,
            )
            step(self.cluster, TasksReported(node=node, sequence=1, events=(ended,)), self.now_s)


def _registered(number: int) -> AgentRegistered:
    capacity = KINDS[number % len(KINDS)]
    return AgentRegistered(
        node=NodeName(f"n{number:04d}"),
        node_id=UUID(int=number + 1),
        incarnation="first",
        boot_id="boot",
        version="1",
        capacity=capacity,
        inventory=Inventory(
            hostname="",
            ip="",
            architecture="",
            os_version="",
            kernel_version="",
            cpu_model="",
            cpu_cores=capacity.cpu_millis // 1000,
            gpus=tuple(
                GpuInfo(uuid=f"GPU-{number}-{position}", model="some GPU", mem_mib=40_960)
                for position in range(capacity.gpus)
            ),
        ),
        kind=NodeKind.COMPUTE,
        labels={},
        roles=(),
        tools=(),
        live=(),
    )


def _jobs(random: random.Random, tasks: int, *, timed: bool) -> Iterator[JobSpec]:
    """Half of the tasks in large arrays, the rest in jobs of one to ten."""
    left = tasks
    while left > 0:
        count = min(left, 1_000 if left > tasks // 2 else random.randint(1, 10))
        left -= count
        yield JobSpec(
            command=["true"],
            array=f"0-{count - 1}",
            priority=random.randint(1, 10),
            timeout=random.choice(WALLTIMES_S) if timed else None,
            resources=ResourceSpec(
                cpu=str(random.choice(CORES)),
                memory=f"{random.choice(MEMORY_GIB)}GiB",
                gpu=random.choice(GPUS),
            ),
        )


def _submitted(number: int, spec: JobSpec) -> JobSubmitted:
    spec_json = msgspec.json.encode(spec)
    return JobSubmitted(
        job_id=UUID(int=number << 64),
        number=number,
        owner=UserName("ann"),
        spec=spec,
        spec_json=spec_json,
        digest=hashlib.sha256(spec_json).digest(),
        ended={},
    )
