"""What the buckets hold, out of memory."""

from __future__ import annotations

import pytest

from bus.values import Resources, Usage
from coordinator import cache_values
from coordinator.core.events import UsageSeen
from tests.unit.coordinator.conftest import World


def locks(world: World) -> dict[str, cache_values.Lock]:
    return dict(cache_values.locks(world.cluster.nodes["n1"]))


@pytest.mark.contract("S2.80")
def test_locks_show_what_is_held_and_by_what(pool: World) -> None:
    assert locks(pool) == {}
    job = pool.submit(command=["true"], array="0-1")
    first, second = pool.schedule()
    held = locks(pool)
    assert set(held) == {"resource.n1.cpu", "resource.n1.memory"}
    cpu = held["resource.n1.cpu"]
    assert (cpu.held, cpu.of, cpu.tasks, cpu.by) == (2000, 2000, 2, [f"{job}.0#1", f"{job}.1#1"])
    pool.end(first)
    assert locks(pool)["resource.n1.cpu"].by == [str(second.attempt)]
    pool.end(second)
    assert locks(pool) == {}


def test_a_lock_names_some_and_counts_all(pool: World) -> None:
    pool.register("n1", capacity=Resources(80_000, 65_536))
    pool.submit(command=["true"], array="0-49")
    pool.schedule()
    lock = locks(pool)["resource.n1.cpu"]
    assert lock.tasks == 50 and len(lock.by) == cache_values.HOLDERS_MAX


@pytest.mark.contract("S2.78")
def test_metrics_are_what_was_measured_last(pool: World) -> None:
    node = pool.cluster.nodes["n1"]
    assert list(cache_values.metrics(node)) == []
    usage = Usage(cpu_millis=750.0, mem_mib=512.0, temperature_c=61.5)
    pool.happen(UsageSeen(node=node.name, usage=usage, load=0.5))
    found = dict(cache_values.metrics(node))
    assert (found["n1.cpu"].value, found["n1.cpu"].of, found["n1.cpu"].unit) == (750.0, 2000, "millicores")
    assert found["n1.temperature"].value == 61.5 and "n1.gpu_temperature" not in found
    assert {value.at for value in found.values()} == {pool.now_s}


@pytest.mark.contract("S2.81")
def test_a_placement_tells_where_and_by_which_rule(pool: World) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    (change,) = pool.mirror.attempts.values()
    placed = cache_values.placed(change, "alice")
    assert (placed.attempt, placed.user, placed.node, placed.ahead) == (f"{job}.0#1", "alice", "n1", False)
    assert (placed.feasible, placed.rank) == (1, "best_fit")


def test_a_sessions_key_does_not_tell_the_credential() -> None:
    key = cache_values.session_key("UABC")
    assert key != cache_values.session_key("UABD") and "UABC" not in key and len(key) == 32
