"""Each GPU over time, by itself: samples, and their roll-ups up to a month."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from bus.series import METRICS, Aggregate, Measured, SeriesKind
from bus.values import GpuInfo, GpuUsage, NodeName, Usage
from coordinator.core.effects import NodeRow, UsageRecord
from coordinator.store.rollups import RollUps
from coordinator.store.series import SeriesStore, Wanted
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.integration.store.test_series import BEGIN, HOUR, caught_up, clock, roll_ups, store, telemetry
from tests.store_rows import node

__all__ = ["clock", "roll_ups", "store", "telemetry"]


async def with_gpus(leader: Leader, number: int) -> NodeRow:
    """A node of the test's own, whose GPUs no other has."""
    row = node(f"gpu-{uuid4().hex[:8]}")
    found = tuple(
        GpuInfo(uuid=f"GPU-{row.name}-{each}", model="H100", mem_mib=81_920) for each in range(number)
    )
    row = replace(row, inventory=replace(row.inventory, gpus=found))
    await leader.commit(nodes=[row])
    return row


def sample(of: NodeRow, at: float, *percents: float | None) -> UsageRecord:
    """What each of its GPUs did; None: its driver did not answer for that one."""
    gpus = tuple(
        GpuUsage(uuid=gpu.uuid, utilisation=percent / 100, mem_mib=10 * percent, power_w=3 * percent)
        for gpu, percent in zip(of.inventory.gpus, percents, strict=True)
        if percent is not None
    )
    usage = Usage(cpu_millis=1.0, mem_mib=1.0)
    return UsageRecord(at=at, node=NodeName(of.name), node_id=of.id, usage=usage, load=0.0, gpus=gpus)


async def asked(store: SeriesStore, of: NodeRow, *metrics: str, **other: object) -> Measured:
    names = {gpu.uuid: f"{of.name}:{place}" for place, gpu in enumerate(of.inventory.gpus)}
    fields: dict[str, object] = {
        "kind": SeriesKind.GPU, "things": names, "owners": (of.id,), "metrics": metrics or ("gpu",),
        "since_s": BEGIN, "step_s": 60.0, "count": 3, "aggregate": Aggregate.MEAN,
    }  # fmt: skip
    return await store.measured(Wanted(**(fields | other)))  # type: ignore[arg-type]


async def test_each_gpu_is_told_by_itself(
    leader: Leader, store: SeriesStore, telemetry: TelemetryStore, roll_ups: RollUps
) -> None:
    one, other = await with_gpus(leader, 2), await with_gpus(leader, 1)
    await telemetry.write(
        [
            sample(one, BEGIN, 10.0, 80.0),
            sample(one, BEGIN + 5, 30.0, None),
            sample(one, BEGIN + 120, None, 50.0),
            sample(other, BEGIN, 99.0),
        ]
    )
    for _ in range(2):
        found = await asked(store, one, *METRICS[SeriesKind.GPU])
        told = {(each.id, each.metric): each.values for each in found.series}
        first, second = f"{one.name}:0", f"{one.name}:1"
        assert told[first, "gpu"] == [20.0, None, None] and told[second, "gpu"] == [80.0, None, 50.0]
        assert told[first, "gpu_memory"] == [200.0, None, None]
        assert told[second, "gpu_power"] == [240.0, None, 150.0]
        assert told[second, "gpu_temperature"] == [None] * 3, "no driver said it"
        assert {each.unit for each in found.series} == {"%", "MiB", "°C", "W"}
        (least,) = (await asked(store, other, aggregate=Aggregate.MIN)).series
        assert least.values == [99.0, None, None]
        await caught_up(roll_ups)
    assert found.resolution_s == 60.0
    (most, _) = (await asked(store, one, step_s=HOUR, aggregate=Aggregate.MAX)).series
    assert most.values == [30.0, None, None]


async def test_a_month_of_a_node_is_read_out_of_its_roll_ups(
    leader: Leader, store: SeriesStore, roll_ups: RollUps, database: asyncpg.Connection
) -> None:
    """Eight GPUs, a sample each ten seconds for a day, and their minutes and hours for a month before."""
    of = await with_gpus(leader, 8)
    await caught_up(roll_ups)
    uuids = [gpu.uuid for gpu in of.inventory.gpus]
    for table, every, days in (("minutes", "1 minute", 29), ("hours", "1 hour", 30)):
        await database.execute(
            f"insert into corral.gpu_usage_{table} (at, node_id, gpu, samples, utilisation, memory) "
            f"select at, $1, gpu, 6, 50, 100 from unnest($2::text[]) gpu, generate_series("
            f"to_timestamp($3::float8) - interval '{days} days', to_timestamp($3::float8), '{every}') at",
            of.id,
            uuids,
            BEGIN - HOUR,
        )
    await database.execute(
        "insert into corral.gpu_usage select at, $1, gpu, 50, 100 from unnest($2::text[]) gpu, "
        "generate_series(to_timestamp($3::float8 - 86400), to_timestamp($3::float8), '10 seconds') at",
        of.id,
        uuids,
        BEGIN - HOUR,
    )
    for span_s, step_s, resolution_s in (
        (900.0, 5.0, 0.0),
        (HOUR, 15.0, 0.0),
        (86_400.0, 600.0, 60.0),
        (7 * 86_400.0, HOUR, HOUR),
        (29 * 86_400.0, 3 * HOUR, HOUR),
    ):
        since_s = (BEGIN - HOUR - span_s) // step_s * step_s
        count = int(span_s / step_s)
        found = await asked(store, of, *METRICS[SeriesKind.GPU], since_s=since_s, step_s=step_s, count=count)
        assert found.resolution_s == resolution_s
        for each in found.series:
            measured = sum(value is not None for value in each.values)
            assert measured >= (count // 2 - 1 if each.metric in ("gpu", "gpu_memory") else 0), each.metric


@pytest.mark.parametrize("table", ["gpu_usage_minutes", "gpu_usage_hours"])
async def test_a_late_sample_takes_its_roll_ups_back(
    leader: Leader, telemetry: TelemetryStore, roll_ups: RollUps, database: asyncpg.Connection, table: str
) -> None:
    of = await with_gpus(leader, 1)
    await telemetry.write([sample(of, BEGIN + at, 50.0) for at in (0, 3 * HOUR)])
    await caught_up(roll_ups)
    await telemetry.write([sample(of, BEGIN + 10, 100.0)])
    await caught_up(roll_ups)
    mean = f"select utilisation from corral.{table} where gpu = $1 order by at limit 1"
    assert await database.fetchval(mean, of.inventory.gpus[0].uuid) == 75.0
