"""One run: a cluster, its client, the plan of faults, and in the end the judge."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct

from bus.client import Client
from bus.errors import CorralError
from bus.values import NodeAdmin
from tests.chaos import checker, evidence, marks, scheduler
from tests.chaos.cluster import Cluster, running
from tests.chaos.evidence import Evidence, NodeSeen, Quarantine
from tests.chaos.faults import Striker
from tests.chaos.plan import Stroke, draw
from tests.chaos.recovery import WAIT_S, Recovery, Watch, started
from tests.chaos.violation import Violation
from tests.chaos.workload import Told, Workload

REQUEST_TIMEOUT_S = 2.0
BOOKS_INTERVAL_S = 2.0
OPERATOR_INTERVAL_S = 5.0
VERIFY_TIMEOUT_S = 15.0
CONVERGE_S = 120.0
"""From the last healing to nothing left to do: the longest task lives 40 s and may have just been lost."""

AGREE_S = 20.0
"""From the last task's end to the leader's memory, the nodes and the database saying the same."""

_LEFT = "select count(*) from corral.jobs where ended_at is null"


class Order(Struct, frozen=True, kw_only=True):
    """What is to be run. `folder` is kept."""

    folder: Path
    seed: int
    length_s: float
    every_s: float
    rate: float


class Outcome(Struct, frozen=True, kw_only=True):
    order: Order
    strokes: tuple[Stroke, ...]
    recoveries: tuple[Recovery, ...]
    violations: tuple[Violation, ...]
    evidence: Evidence
    told: Told
    kinds: dict[str, int]
    converged_s: float | None
    books_looked_at: int
    ended_alone: dict[str, list[int]]


class Run:
    """Made and run once."""

    def __init__(self, order: Order, tell: Callable[[str], None]) -> None:
        self._order = order
        self._tell = tell
        self._begin = time.monotonic()
        self._recoveries: list[Recovery] = []
        self._violations: list[Violation] = []
        self._books_looked_at = 0
        self._quarantines: list[Quarantine] = []

    async def run(self) -> Outcome:
        order = self._order
        plan = draw(seed=order.seed, length_s=order.length_s, every_s=order.every_s)
        told = Told(order.folder / "acks.jsonl")
        async with running(order.folder, self._note) as cluster:
            self._begin = time.monotonic()
            self._note(f"the cluster stands; seed {order.seed}, {len(plan)} faults to come")
            striker = Striker(cluster)
            async with cluster.client("adam", timeout_s=REQUEST_TIMEOUT_S) as adam:
                await scheduler.teach(adam)
            self._note(f"tasks are ordered by {scheduler.POLICY}")
            self._begin = time.monotonic()
            async with cluster.client("alice", timeout_s=REQUEST_TIMEOUT_S) as alice:
                workload = Workload(alice, told, marks_folder=cluster.marks, seed=order.seed, rate=order.rate)
                await self._trouble(cluster, striker, workload, plan)
                self._note("the last fault has healed")
                converged_s = await self._converge(cluster)
            nodes = await self._agree(cluster)
            verified = await self._verify(cluster)
            async with cluster.client("adam", timeout_s=REQUEST_TIMEOUT_S) as adam:
                learned = await scheduler.learned(adam, cluster.dsn)
            found = await evidence.rows(cluster.dsn)
            await cluster.stop()
            leftovers = cluster.leftovers()
            found = msgspec.structs.replace(
                found,
                acks=tuple(told.acks),
                blows=tuple(striker.blows),
                quarantines=tuple(self._quarantines),
                nodes=nodes,
                verified=verified,
                learned=learned,
                lives=tuple(marks.read(cluster.marks)),
                booted_at=time.time() - time.clock_gettime(time.CLOCK_BOOTTIME),
                complaints=evidence.complaints(cluster.all_logs()),
                leftovers=tuple(leftovers),
            )
            ended_alone = cluster.ended_alone
        gave_up = [Violation(rule="service", what=text) for text in told.gave_up]
        return Outcome(
            order=order,
            strokes=tuple(plan),
            recoveries=tuple(self._recoveries),
            violations=(*self._violations, *gave_up, *checker.judge(found)),
            evidence=found,
            told=told,
            kinds=workload.counts,
            converged_s=converged_s,
            books_looked_at=self._books_looked_at,
            ended_alone=ended_alone,
        )

    async def _trouble(
        self, cluster: Cluster, striker: Striker, workload: Workload, plan: list[Stroke]
    ) -> None:
        """Work and faults side by side, until the length is over and everything has healed."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.run(stop), name="workload")
            books = group.create_task(self._watch_books(cluster.dsn), name="books")
            operating = group.create_task(self._operate(cluster), name="operator")
            async with asyncio.TaskGroup() as strokes:
                for stroke in plan:
                    await asyncio.sleep(max(0.0, stroke.at_s - (time.monotonic() - self._begin)))
                    strokes.create_task(self._strike(cluster, striker, workload, stroke), name=str(stroke))
                await asyncio.sleep(max(0.0, self._order.length_s - (time.monotonic() - self._begin)))
            stop.set()
            books.cancel()
            operating.cancel()

    async def _strike(self, cluster: Cluster, striker: Striker, workload: Workload, stroke: Stroke) -> None:
        watch = Watch(stroke)
        self._note(f"STRIKE {stroke}")
        probing = asyncio.create_task(self._probe(cluster, workload, stroke, watch))
        struck = await striker.strike(stroke, watch.land)
        healed_s = watch.elapsed_s()
        self._note(f"HEALED #{stroke.number} {stroke.fault} on {struck}")
        await probing
        recovery = watch.result(struck=struck, healed_s=healed_s)
        self._recoveries.append(recovery)
        if recovery.placed_s is None:
            what = f"{stroke}: no task was placed within {WAIT_S:g} s"
            self._violations.append(Violation(rule="I8 it converges", what=what, evidence=(repr(recovery),)))

    async def _probe(self, cluster: Cluster, workload: Workload, stroke: Stroke, watch: Watch) -> None:
        await watch.landed.wait()
        try:
            async with asyncio.timeout(WAIT_S):
                number = await workload.probe(f"probe-{stroke.number}")
                watch.answered_s = round(watch.elapsed_s(), 3)
                await started(cluster.marks, number)
                watch.placed_s = round(watch.elapsed_s(), 3)
        except (TimeoutError, CorralError) as error:
            self._note(f"the probe of #{stroke.number} got nowhere: {error!r}")

    async def _watch_books(self, dsn: str) -> None:
        """I4 at many moments; a database that is away is looked at later."""
        while True:
            await asyncio.sleep(BOOKS_INTERVAL_S)
            try:
                connection = await asyncpg.connect(dsn, timeout=2)
                try:
                    async with asyncio.timeout(5):
                        rows = await evidence.ledgers(connection)
                finally:
                    connection.terminate()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue
            self._books_looked_at += 1
            for violation in checker.unbalanced(rows):
                self._note(str(violation))
                self._violations.append(violation)

    async def _operate(self, cluster: Cluster) -> None:
        """What is quarantined stays so until a person has looked: here is one who always says yes."""
        async with cluster.client("adam", timeout_s=REQUEST_TIMEOUT_S) as adam:
            while True:
                await asyncio.sleep(OPERATOR_INTERVAL_S)
                try:
                    for node in (await adam.nodes()).nodes:
                        if node.admin is NodeAdmin.FAILED:
                            self._note(f"quarantined: {node.name}: {node.reason}")
                            await adam.undrain(node.name, reason="looked at")
                            self._quarantines.append(
                                Quarantine(node=node.name, at=time.time(), reason=node.reason)
                            )
                except CorralError:
                    continue

    async def _converge(self, cluster: Cluster) -> float | None:
        """Until every job is over; how long that took."""
        begin = time.monotonic()
        while time.monotonic() - begin < CONVERGE_S:
            try:
                connection = await asyncpg.connect(cluster.dsn)
                try:
                    left = await connection.fetchval(_LEFT)
                finally:
                    await connection.close()
            except (OSError, asyncpg.PostgresError):  # it may have been the last to heal
                left = None
            if left == 0:
                return round(time.monotonic() - begin, 3)
            await asyncio.sleep(0.5)
        self._note("not all jobs are over; the bound has passed")
        return None

    async def _agree(self, cluster: Cluster) -> tuple[NodeSeen, ...]:
        """The nodes as soon as all are idle, or as they are when the bound has passed."""
        end = time.monotonic() + AGREE_S
        seen: tuple[NodeSeen, ...] = ()
        async with cluster.client("adam", timeout_s=REQUEST_TIMEOUT_S) as adam:
            while time.monotonic() < end:
                try:
                    seen = await _nodes(cluster, adam)
                except CorralError as error:
                    self._note(f"the nodes cannot be listed: {error!r}")
                if seen and not list(checker.judge(Evidence(nodes=seen))):
                    break
                await asyncio.sleep(0.5)
        return seen

    async def _verify(self, cluster: Cluster) -> tuple[str, ...]:
        """What `corral verify` has to say: memory, database and process tables, compared by the leader."""
        end = time.monotonic() + AGREE_S
        async with cluster.client("adam", timeout_s=VERIFY_TIMEOUT_S) as adam:
            while True:
                try:
                    found = await adam.verify()
                except CorralError as error:
                    if time.monotonic() > end:
                        return (repr(error),)
                    await asyncio.sleep(0.5)
                    continue
                silent = [f"{node} is silent" for node in found.silent]
                return (
                    *(f"{each.invariant} {each.object}: {each.what}" for each in found.violations),
                    *silent,
                )

    def _note(self, text: str) -> None:
        """Into the timeline, with the moment."""
        at_s = round(time.monotonic() - self._begin, 2)
        with (self._order.folder / "timeline.jsonl").open("a") as file:
            file.write(json.dumps({"at_s": at_s, "wall": time.time(), "what": text}) + "\n")
        self._tell(f"{at_s:8.2f} {text}")


async def _nodes(cluster: Cluster, adam: Client) -> tuple[NodeSeen, ...]:
    nodes = (await adam.nodes()).nodes
    holding = Counter(each.node for each in (await evidence.rows(cluster.dsn)).attempts if each.holding)
    return tuple(
        NodeSeen(
            name=node.name,
            health=str(node.health),
            running=node.running,
            waiting=node.waiting,
            allocated_cpu_millis=node.allocated.cpu_millis,
            running_rows=holding[node.name],
        )
        for node in nodes
    )
