"""Volumes in the core: what jobs may ask for, where their tasks may run, and who waits for whom."""

from __future__ import annotations

import pytest

from bus.api import Blocker
from bus.mounts import AccessMode, Mounted
from bus.spec import JobSpec, TaskSpec
from bus.values import AttemptRef, Ended, NodeName, Outcome, Resources, UserName
from coordinator.core.events import AgentBeat, Tick, VolumesPlaced
from coordinator.core.intake import Derived, derive
from coordinator.core.why import node_blockers
from tests.unit.coordinator.conftest import World

ALICE = UserName("alice")
DATA = Mounted(id="1", mode=AccessMode.READ_WRITE_ONCE)
HERE = NodeName("n1")


def spec(*volumes: str, mode: AccessMode = AccessMode.READ_WRITE_ONCE, **more: object) -> JobSpec:
    mounted = {name: Mounted(id=name, mode=mode) for name in ("data", "my-data", "my_data", "other")}
    return JobSpec(command=["true"], volumes=list(volumes), mounted=mounted, **more)  # type: ignore[arg-type]


def faults(asked: JobSpec) -> list[tuple[str, str]]:
    derived = derive(asked, ALICE)
    return [(each.code, each.field) for each in derived] if isinstance(derived, tuple) else []


def derived(asked: JobSpec) -> Derived:
    found = derive(asked, ALICE)
    assert isinstance(found, Derived), found
    return found


@pytest.mark.contract("S2.70")
@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("data:/../etc", "E_PATH"),
        ("data:/mnt/../etc", "E_PATH"),
        ("data:mnt", "E_PATH"),
        ("data:/etc/x", "E_PATH"),
        ("data:/usr", "E_PATH"),
        ("data:/proc/1", "E_PATH"),
        ("data:/", "E_PATH"),
        ("data:/mnt//x", "E_PATH"),
        ("data:/mnt/./x", "E_PATH"),
        ("data:/home", "E_PATH"),
        ("data:/mnt/\x1b[31m", "E_PATH"),
        ("data:/" + "x" * 500, "E_PATH"),
        ("data:/mnt/x:rx", "E_VALUE"),
        ("data:/mnt/x:ro:ro", "E_VALUE"),
        ("Data", "E_VALUE"),
        ("", "E_VALUE"),
        ("../data", "E_VALUE"),
        ("none:/mnt/x", "E_NOT_FOUND"),
    ],
)
def test_what_is_no_volume_is_refused(word: str, code: str) -> None:
    assert [each for each, _ in faults(spec(word))] == [code]


def test_a_volume_has_a_place_of_its_own() -> None:
    assert faults(spec("data:/mnt/x", "other:/mnt/x")) == [("E_NAME_CLASH", "/volumes")]
    assert faults(spec("my-data", "my_data")) == [("E_NAME_CLASH", "/volumes")]
    assert [each for each, _ in faults(spec(*["data"] * 65))] == ["E_TOO_MANY", "E_NAME_CLASH"]


def test_what_is_for_reading_is_not_written_to() -> None:
    asked = spec("data:/mnt/x", mode=AccessMode.READ_ONLY_MANY)
    assert faults(asked) == [("E_ACCESS_MODE", "/volumes")]
    assert faults(spec("data", mode=AccessMode.READ_ONLY_MANY)) == [("E_ACCESS_MODE", "/volumes")]
    assert faults(spec("data:/mnt/x:ro", mode=AccessMode.READ_ONLY_MANY)) == []


def test_a_task_has_its_own_volumes_or_those_of_its_job() -> None:
    tasks = [
        TaskSpec(command=["a"]),
        TaskSpec(command=["b"], volumes=["other:ro"]),
        TaskSpec(command=["c"], volumes=[]),
    ]
    asked = JobSpec(volumes=["data:/mnt/d"], tasks=tasks, mounted={"data": DATA, "other": DATA})
    first, second, third = (part.settings for part in derived(asked).parts)
    (told,) = first.volumes
    assert (told.name, told.target, told.read_only, told.exclusive) == ("data", "/mnt/d", False, True)
    (told,) = second.volumes
    assert (told.name, told.target, told.read_only, told.exclusive) == (
        "other",
        "/volumes/other",
        True,
        False,
    )
    assert first.features == ("writes:data",) and second.features == ("volume:other",)
    assert third.volumes == () and third.features == ()


def world(*nodes: str, **features: tuple[str, ...]) -> World:
    made = World()
    for name in nodes:
        made.register(name, capacity=Resources(8000, 65_536))
    made.happen(VolumesPlaced(features={NodeName(name): each for name, each in features.items()}))
    return made


def submit(world: World, *volumes: str, mode: AccessMode = AccessMode.READ_WRITE_ONCE) -> int:
    mounted = {name: Mounted(id=name, mode=mode) for name in ("data", "other")}
    return world.submit(command=["true"], volumes=list(volumes), mounted=mounted)


def places(world: World) -> dict[int, str]:
    world.happen(schedule=True)
    return {attempt.ref.job: str(attempt.node) for attempt in world.cluster.attempts()}


def blockers(world: World, job: int, *, asker: str = "alice") -> dict[str, Blocker]:
    shape = world.cluster.jobs[job].groups[0].shape
    return {each.code: each for each in node_blockers(world.cluster, shape, asker=UserName(asker))}


def test_tasks_go_where_their_volumes_are() -> None:
    there = world("n1", "n2", "n3", n2=("volume:data", "writes:data"), n3=("volume:data",))
    writing, reading = submit(there, "data"), submit(there, "data:ro")
    assert places(there)[writing] == "n2"
    assert places(there)[reading] in ("n2", "n3")
    elsewhere = submit(there, "other")
    assert elsewhere not in places(there)
    told = blockers(there, elsewhere)["writes:other"]
    assert told.nodes == 3 and "no node has volume other now" in told.message
    there.happen(VolumesPlaced(features={HERE: ("volume:other", "writes:other")}))
    assert places(there)[elsewhere] == "n1"


def test_a_node_that_comes_has_its_volumes() -> None:
    late = world(n9=("volume:data", "writes:data"))
    job = submit(late, "data")
    assert places(late) == {}
    late.register("n9", capacity=Resources(8000, 65_536))
    assert places(late) == {job: "n9"}


def test_what_keeps_readers_away_is_told() -> None:
    there = world("n1", n2=("volume:data",))
    told = blockers(there, submit(there, "data:ro"))["volume:data"]
    assert "lies on n2" in told.message and "takes work" in told.remedy


@pytest.mark.contract("S2.71")
def test_of_two_jobs_that_write_one_waits_for_the_other() -> None:
    there = world("n1", "n2", n1=("volume:data", "writes:data"))
    first, second, reading = submit(there, "data"), submit(there, "data"), submit(there, "data:ro")
    there.happen(schedule=True)
    (placed,) = [each for each in there.cluster.attempts() if each.ref.job == first]
    assert {each.ref.job for each in there.cluster.attempts()} == {first, reading}
    assert f"{first}.0 writes to volume data" in blockers(there, second)["volume_in_use:data"].message
    theirs = blockers(there, second, asker="bob")["volume_in_use:data"].message
    assert theirs.startswith("1 task of others writes")
    there.check()
    assert there.rebuilt().nodes[HERE].claimed == {"data": 1}
    there.cancel(first)
    there.report("n1", Ended(attempt=placed.ref, outcome=Outcome.CANCELLED, ended_at=1.0))
    assert second in places(there)
    assert there.cluster.nodes[HERE].claimed == {"data": 1}


def test_many_write_where_many_may() -> None:
    there = world("n1", n1=("volume:data", "writes:data"))
    jobs = [submit(there, "data", mode=AccessMode.READ_WRITE_MANY) for _ in range(3)]
    assert places(there) == dict.fromkeys(jobs, "n1")


def test_who_waits_for_a_volume_keeps_no_node_from_others() -> None:
    there = world("n1", n1=("volume:data", "writes:data"))
    first, second = submit(there, "data"), submit(there, "data")
    assert places(there) == {first: "n1"}
    for _ in range(60):
        there.now_s += 2.0
        there.happen(beat(there), Tick(), schedule=True)
    third = there.submit(command=["true"])
    assert places(there) == {first: "n1", third: "n1"}, blockers(there, third)
    assert second not in places(there)


def test_what_is_being_brought_is_not_late() -> None:
    there = world("n1", n1=("volume:data", "writes:data"))
    job = submit(there, "data")
    there.happen(schedule=True)
    there.confirm()
    (attempt,) = there.cluster.attempts()
    assert attempt.ref.job == job
    for _ in range(40):
        there.now_s += 2.0
        there.happen(beat(there, preparing=(attempt.ref,)))
    assert not attempt.late
    for _ in range(40):
        there.now_s += 2.0
        there.happen(beat(there))
    assert attempt.late


def beat(world: World, **more: tuple[AttemptRef, ...]) -> AgentBeat:
    node = world.cluster.nodes[HERE]
    live = tuple(node.attempts)
    return AgentBeat(node=HERE, incarnation=node.incarnation, sequence=1, load=0.0, live=live, **more)
