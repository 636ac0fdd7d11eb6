"""The ground of a question: taken in slices it is the same, and a change leaves what was taken alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bus.spec import ResourceSpec
from bus.values import NodeName
from coordinator.core.scheduler import ground, scene
from coordinator.core.scheduler.ground import Ground, ground_of, joined, slices
from coordinator.core.scheduler.scene import in_line, newcomers
from tests.unit.coordinator.conftest import World

FIELDS = ("free", "rows", "held", "begun", "ends", "limits")


def busy(world: World, *, nodes: int = 7, seed: int = 3) -> World:
    """Some nodes with tasks of several kinds on them, some of which started, and some that wait."""
    chance = random.Random(seed)
    for number in range(nodes):
        world.register(f"m{number}")
    for _ in range(24):
        world.submit(
            command=["true"],
            array=f"0-{chance.randint(0, 3)}",
            timeout=chance.choice((None, 60, 600)),
            resources=ResourceSpec(cpu=chance.choice((1, 500, 1000)), memory="1MiB"),
        )
    for attempt in world.schedule():
        if chance.random() < 0.7:
            world.start(attempt)
    return world


def same(one: Ground, other: Ground) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS)


@pytest.mark.parametrize("size", [1, 5, 9, 1_000])
def test_in_slices_it_is_the_same(pool: World, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    world = busy(pool)
    nodes = list(world.cluster.nodes.values())
    whole = ground_of(world.cluster, nodes)
    monkeypatch.setattr(ground, "SLICE", size)
    parts = list(slices(nodes))
    assert [node for part in parts for node in part] == nodes
    assert len(parts) == len(nodes) if size == 1 else len(parts) < len(nodes)
    found = joined([ground_of(world.cluster, part) for part in parts])
    assert len(whole.rows) > len(nodes)
    assert same(found, whole) and found.nodes == whole.nodes
    for shape in world.cluster.lines:
        assert np.array_equal(found.able(shape), whole.able(shape))


def test_each_place_says_what_its_attempt_holds_and_when_it_is_over(pool: World) -> None:
    world = busy(pool)
    nodes = list(world.cluster.nodes.values())
    found = ground_of(world.cluster, nodes)
    attempts = [
        (row, each) for row, node in enumerate(nodes) for each in node.attempts.values() if each.holding
    ]
    assert found.rows.tolist() == [row for row, _ in attempts]
    for place, (row, attempt) in enumerate(attempts):
        timeout_s = attempt.task.group.settings.timeout_s
        assert found.held[place][0] == attempt.requested.cpu_millis
        assert found.begun[place] == (attempt.started_at or attempt.assigned_at)
        assert found.ends[place] > found.begun[place]
        assert np.isinf(found.limits[place]) == (timeout_s is None)
        assert found.free[row][0] == nodes[row].free.cpu_millis


def test_drained_nodes_take_nothing_and_added_ones_stand_behind_the_others(pool: World) -> None:
    world = busy(pool)
    nodes = list(world.cluster.nodes.values())
    before = ground_of(world.cluster, nodes)
    after = before.changed(drained={NodeName("m3")}, added=[nodes[0]])
    again = joined([after, before])
    shape = next(iter(world.cluster.lines))
    row = [node.name for node in nodes].index(NodeName("m3"))
    assert before.able(shape)[row] and not after.able(shape)[row] and not again.able(shape)[row]
    assert len(after.able(shape)) == len(after.free) == len(nodes) + 1
    assert after.able(shape)[-1] == before.able(shape)[0]
    assert again.able(shape)[len(nodes) + 1 + row]
    assert np.array_equal(after.rows, before.rows)


def test_of_very_long_lines_not_all_is_sorted(pool: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(12):
        pool.submit(command=["true"])
    monkeypatch.setattr(scene, "SORTED_MAX", 6)
    some = in_line(pool.cluster)
    assert len(some) == 6 and [each.count for each in some] == [2] * 6
    assert [each.place for each in some] == sorted(each.place for each in some)
    monkeypatch.setattr(scene, "ENTRIES_MAX", 3)
    assert [each.count for each in in_line(pool.cluster)] == [4, 4, 4]


def test_newcomers_have_the_priority_of_their_owners_newest_job(
    pool: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.submit(command=["true"], priority=9)
    pool.submit(command=["true"], priority=2)
    assert {each.priority for each in newcomers(pool.cluster, now_s=pool.now_s)} == {2}
    monkeypatch.setattr(scene, "JOBS_MAX", 0)
    assert {each.priority for each in newcomers(pool.cluster, now_s=pool.now_s)} == {5}
