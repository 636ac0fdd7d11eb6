"""Gauges over time: each bucket is what was measured in it, out of samples and of roll-ups alike."""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator
from statistics import fmean
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from bus.series import Aggregate, Measured, SeriesKind
from bus.values import RANK_STRIDE, AttemptRef, NodeName, Usage
from coordinator.clock import Clock
from coordinator.core.effects import GaugeRecord, UsageRecord
from coordinator.store import series
from coordinator.store.errors import StoreUnavailable, TooMuchAsked
from coordinator.store.rollups import RollUps
from coordinator.store.series import SeriesStore, Wanted
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.store_rows import new_job, node

HOUR = 3600.0
BEGIN = math.floor(time.time() / HOUR) * HOUR - 6 * HOUR
"""A whole hour of today or yesterday: its partition is there."""


class StoppedClock(Clock):
    """Stands where the test wants it."""

    at_s = BEGIN + 5 * HOUR

    def now_s(self) -> float:
        return self.at_s


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[SeriesStore]:
    store = SeriesStore(coordinator_dsn)
    yield store
    await store.close()


@pytest.fixture
async def telemetry(coordinator_dsn: str) -> AsyncIterator[TelemetryStore]:
    telemetry = await TelemetryStore.connect(coordinator_dsn)
    yield telemetry
    await telemetry.close()


@pytest.fixture
async def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def roll_ups(coordinator_dsn: str, clock: StoppedClock) -> AsyncIterator[RollUps]:
    roll_ups = RollUps(coordinator_dsn, clock)
    yield roll_ups
    await roll_ups.close()


async def registered(leader: Leader) -> UUID:
    """A node of the test's own."""
    row = node(f"n-{uuid4().hex[:8]}")
    await leader.commit(nodes=[row])
    return row.id


async def caught_up(roll_ups: RollUps) -> None:
    for _ in range(100):
        if await roll_ups.catch_up(for_s=60.0):
            return
    raise AssertionError("it never ends")


def sample(node_id: UUID, at: float, cpu: float, **other: Any) -> UsageRecord:
    usage = Usage(cpu_millis=cpu, mem_mib=2 * cpu, temperature_c=40.0, net_rx_mbps=1.0, net_tx_mbps=2.0)
    return UsageRecord(at=at, node=NodeName("n"), node_id=node_id, usage=usage, load=1.0, **other)


async def asked(store: SeriesStore, of: UUID | None, *metrics: str, **other: Any) -> Measured:
    fields: dict[str, Any] = {
        "kind": SeriesKind.NODE if of else SeriesKind.CLUSTER,
        "things": {of: "n"} if of else {},
        "metrics": metrics or ("cpu",),
        "since_s": BEGIN,
        "step_s": 60.0,
        "count": 10,
        "aggregate": Aggregate.MEAN,
    }
    return await store.measured(Wanted(**(fields | other)))


async def test_a_bucket_is_what_was_measured_in_it_and_a_gap_is_a_gap(
    store: SeriesStore, telemetry: TelemetryStore
) -> None:
    n = uuid4()
    figures = {0: [100.0, 300.0], 1: [50.0], 4: [10.0, 20.0, 30.0, 40.0]}
    await telemetry.write(
        [
            sample(n, BEGIN + 60 * minute + 5 * place, cpu, anomaly=minute == 4)
            for minute, values in figures.items()
            for place, cpu in enumerate(values)
        ]
    )
    found = await asked(store, n, "cpu", "memory", "network", count=6)
    assert found.times == [BEGIN + 60 * place for place in range(6)]
    cpu, memory, network = found.series
    assert cpu.values == [200.0, 50.0, None, None, 25.0, None]
    assert memory.values == [400.0, 100.0, None, None, 50.0, None] and memory.unit == "MiB"
    assert network.values[0] == 3.0 and cpu.anomalies == [4]
    for aggregate, values in (
        (Aggregate.MAX, [300.0, 50.0, None, None, 40.0, None]),
        (Aggregate.MIN, [100.0, 50.0, None, None, 10.0, None]),
        (Aggregate.P95, [290.0, 50.0, None, None, 38.5, None]),
    ):
        (cpu,) = (await asked(store, n, count=6, aggregate=aggregate)).series
        assert cpu.values == values
    (temperature,) = (await asked(store, uuid4(), "temperature", count=6)).series
    assert temperature.values == [None] * 6, "who never said anything has a series of gaps"


@pytest.mark.parametrize("aggregate", [Aggregate.MEAN, Aggregate.MAX, Aggregate.MIN])
async def test_roll_ups_say_what_the_samples_say(
    leader: Leader, store: SeriesStore, telemetry: TelemetryStore, roll_ups: RollUps, aggregate: Aggregate
) -> None:
    n, chance = await registered(leader), random.Random(f"{aggregate}")
    moments = sorted(chance.sample(range(4 * 3600), 600))
    moments = [at for at in moments if not 4_000 < at < 7_000]  # it was away
    await telemetry.write([sample(n, BEGIN + at, float(chance.randrange(64_000))) for at in moments])
    await roll_ups.catch_up(for_s=0.0)  # whatever others of this module brought about, it is not all made
    before = {
        step_s: await asked(store, n, step_s=step_s, count=int(5 * HOUR / step_s), aggregate=aggregate)
        for step_s in (60.0, 600.0, HOUR)
    }
    await caught_up(roll_ups)
    for step_s, raw in before.items():
        after = await asked(store, n, step_s=step_s, count=len(raw.times), aggregate=aggregate)
        assert after.resolution_s == (HOUR if step_s == HOUR else 60.0)
        for one, other in zip(raw.series[0].values, after.series[0].values, strict=True):
            assert one == (other and pytest.approx(other, rel=1e-5)), f"seed {aggregate}"
    fine = await asked(store, n, step_s=90.0)
    assert fine.resolution_s == 0.0, "minutes do not make up a minute and a half"


async def test_what_comes_late_is_seen_at_once_and_rolled_up_again(
    leader: Leader,
    store: SeriesStore,
    telemetry: TelemetryStore,
    roll_ups: RollUps,
    database: asyncpg.Connection,
) -> None:
    n = await registered(leader)
    await telemetry.write([sample(n, BEGIN + at, 100.0) for at in (0, 60, 7_200)])
    await caught_up(roll_ups)
    await telemetry.write([sample(n, BEGIN + 90, 300.0)])  # its agent kept it while nobody listened
    for _ in range(2):
        (cpu,) = (await asked(store, n, count=3)).series
        assert cpu.values == [100.0, 200.0, None]
        (cpu,) = (await asked(store, n, count=3, step_s=HOUR)).series
        assert cpu.values == [pytest.approx(fmean([100, 100, 300]), rel=1e-5), None, 100.0]
        await caught_up(roll_ups)
    rows = "select count(*) from corral.node_usage_minutes where node_id = $1"
    assert await database.fetchval(rows, n) == 3


async def test_a_clock_that_was_ahead_does_not_hide_what_comes(
    leader: Leader, store: SeriesStore, telemetry: TelemetryStore, roll_ups: RollUps, clock: StoppedClock
) -> None:
    n = await registered(leader)
    clock.at_s = BEGIN + 50 * HOUR
    await caught_up(roll_ups)
    clock.at_s = BEGIN + 5 * HOUR
    await caught_up(roll_ups)
    clock.at_s += 120.0
    await telemetry.write([sample(n, BEGIN + 5 * HOUR + 30, 100.0)])
    await caught_up(roll_ups)
    (cpu,) = (await asked(store, n, since_s=BEGIN + 5 * HOUR, count=2)).series
    assert cpu.values == [100.0, None]


async def test_counts_are_rates_and_gauges_of_the_cluster_have_no_name(
    store: SeriesStore, telemetry: TelemetryStore, roll_ups: RollUps
) -> None:
    await telemetry.write(
        [GaugeRecord(at=BEGIN + 10 * place, name="completed", value=30.0) for place in range(12)]
        + [GaugeRecord(at=BEGIN + 60, name="queue_depth", value=7.0)]
    )
    for _ in range(2):
        (completed,) = (await asked(store, None, "completed", count=3, aggregate=Aggregate.RATE)).series
        assert completed.values == [3.0, 3.0, None] and (completed.id, completed.unit) == ("", "tasks/s")
        (depth, wait) = (await asked(store, None, "queue_depth", "wait", count=3)).series
        assert depth.values == [None, 7.0, None] and wait.values == [None] * 3
        await caught_up(roll_ups)


async def test_tasks_have_their_own(store: SeriesStore, telemetry: TelemetryStore) -> None:
    task = uuid4()
    of_task = {"attempt": AttemptRef(1, 0, 1), "task_id": task}
    await telemetry.write([sample(uuid4(), BEGIN + 1, 400.0, **of_task), sample(task, BEGIN + 1, 900.0)])
    wanted = {"kind": SeriesKind.TASK, "owners": (task,), "things": {str(task): "1.0"}}
    (cpu,) = (await asked(store, task, count=2, **wanted)).series
    assert (cpu.id, cpu.values) == ("1.0", [400.0, None])


async def test_ranks_are_told_apart_and_their_task_is_all_of_them(
    store: SeriesStore, telemetry: TelemetryStore
) -> None:
    task, other = uuid4(), uuid4()
    figures = [(0, 100.0), (1, 200.0), (2, 600.0)]
    await telemetry.write(
        [
            sample(uuid4(), BEGIN + 1, cpu, attempt=AttemptRef(1, rank * RANK_STRIDE, 1), task_id=each)
            for rank, cpu in figures
            for each in (task, other)
        ]
    )
    things = {f"{task}:{rank}": f"1.0:{rank}" for rank in (0, 2)} | {str(task): "1.0"}
    measured = await asked(store, task, kind=SeriesKind.TASK, owners=(task,), things=things, count=1)
    found = {each.id: each.values for each in measured.series}
    assert found == {"1.0:0": [100.0], "1.0:2": [600.0], "1.0": [300.0]}


async def test_the_newest_sample_of_each_rank_of_a_try(store: SeriesStore, telemetry: TelemetryStore) -> None:
    task, now = uuid4(), time.time()
    told = [(0, 1, 50, 9.0), (0, 2, 40, 1.0), (0, 2, 10, 2.0), (1, 2, 5, 3.0), (2, 2, 300, 4.0)]
    await telemetry.write(
        [
            sample(uuid4(), now - ago, cpu, attempt=AttemptRef(1, rank * RANK_STRIDE, fence), task_id=task)
            for rank, fence, ago, cpu in told
        ]
    )
    found = await store.usage_of_ranks(task, 2, since_s=now - 120)
    assert {rank: each.cpu_millis for rank, each in found.items()} == {0: 2.0, 1: 3.0}
    assert found[1].mem_mib == 6.0 and abs(found[1].at - (now - 5)) < 0.01


@pytest.mark.contract("S4.61")
async def test_states_of_what_was_submitted_lately(leader: Leader, store: SeriesStore) -> None:
    now = time.time()
    await leader.commit(
        new_jobs=[new_job(tasks=3, submitted_at=now - 60), new_job(submitted_at=now - 90_000)]
    )
    found = await store.states(now - 86_400, viewer=None)
    assert found.jobs == {"pending": 1} and found.tasks["pending"] == 3
    assert (await store.states(now - 86_400, viewer="nobody")).jobs == {}
    assert (await store.states(now - 86_400, viewer="alice")).jobs == {"pending": 1}


async def test_a_question_that_takes_too_long_is_given_up(
    coordinator_dsn: str, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "_SESSION", series._SESSION | {"statement_timeout": "200ms"})
    store = SeriesStore(coordinator_dsn)
    async with database.transaction():
        await database.execute("lock table corral.node_usage in access exclusive mode")
        with pytest.raises(TooMuchAsked):
            await asked(store, uuid4(), step_s=30.0)
    assert len((await asked(store, uuid4(), step_s=30.0)).series) == 1, "the connection goes on"
    await store.close()


async def test_without_a_database_it_says_so() -> None:
    store = SeriesStore("postgres://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await asked(store, uuid4())
