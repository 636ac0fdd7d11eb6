"""Agents of a release before gangs get no ranks; a gang that waits for that says so, until they are new."""

from __future__ import annotations

import pytest

from bus.values import TaskState
from coordinator.core.releases import RANKS, features_by, minor_of
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_gangs import gang, nodes, where
from tests.unit.coordinator.test_why import told


@pytest.mark.parametrize(
    ("version", "able"),
    [("0.1.0", False), ("0.1", False), ("0.2.0", True), ("0.2.0.dev1", True), ("1.0", True), ("0.10.3", True),
     ("test", True), ("", True), ("1", True)],
)  # fmt: skip
def test_what_a_version_says(version: str, able: bool) -> None:
    assert features_by(version) == ((RANKS,) if able else ())


def test_a_version_is_two_numbers_and_whatever() -> None:
    assert [minor_of(each) for each in ("0.2.0", "3.14", "0.2-rc1", "v1.2", "1.x", "")] == [
        (0, 2), (3, 14), (0, 2), None, None, None,
    ]  # fmt: skip


def test_an_old_agent_gets_no_rank_but_other_work(world: World) -> None:
    nodes(world)
    world.register("n2", incarnation="older", version="0.1.7")
    job = gang(world, 4)
    assert world.schedule() == []
    assert world.task_state(job) is TaskState.QUEUED
    message, remedy = told(world, job)["ranks"]
    assert message == (
        "node n2 has an agent of version 0.1.7, which cannot wait for the other ranks of a gang"
    )
    assert remedy == "install Corral 0.2 or newer there, and start its agent again"
    small = gang(world, 2)
    assert {where(world, rank) for rank in world.schedule()} == {"n1"}, (
        "where all fit elsewhere, they go there"
    )
    single = world.submit(command=["x"])
    (placed,) = world.schedule()
    assert (placed.attempt.job, where(world, placed)) == (single, "n2") and small


def test_once_the_agent_is_new_the_gang_starts(world: World) -> None:
    """It was accepted, though no agent could take it then: agents are upgraded one after the other."""
    nodes(world, version="0.1.0")
    job = gang(world, 4)
    assert world.schedule() == [] and world.task_state(job) is TaskState.QUEUED
    message, remedy = told(world, job)["ranks"]
    assert message.startswith("2 of 2 nodes have agents of version 0.1.0,") and "start their agent" in remedy
    for name in ("n1", "n2"):
        world.register(name, incarnation="newer", version="0.2.0")
    assert len(world.schedule()) == 4
