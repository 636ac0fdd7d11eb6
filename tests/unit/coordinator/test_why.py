"""Whoever waits is told everything that is in the way, and what would remove it."""

from __future__ import annotations

from typing import Any

import pytest

from bus.api import Candidate
from bus.spec import Constraints, ResourceSpec, TaskSpec
from bus.values import JobKind, NodeAdmin, NodeHealth, NodeKind, NodeName, Resources, Returned, UserName
from coordinator.core.amounts import RESOURCES, describe, flag
from coordinator.core.scheduler.explain import Explanation, Seen
from coordinator.core.why import (
    ahead,
    blockers,
    candidates,
    decided,
    first_waiting,
    line_blocker,
    newest_placed,
    node_blockers,
    waits,
)
from tests.unit.coordinator.conftest import World


def told(world: World, job: int, index: int = 0) -> dict[str, tuple[str, str]]:
    """The blockers of a task by code: message and remedy."""
    group = world.cluster.jobs[job].group_of(index)
    assert group is not None and waits(group, index)
    found = blockers(world.cluster, group, index, now_s=world.now_s)
    return {blocker.code: (blocker.message, blocker.remedy) for blocker in found}


def place(world: World, job: int, index: int) -> tuple[int | None, float | None]:
    group = world.cluster.jobs[job].group_of(index)
    assert group is not None
    return ahead(world.cluster, group, index)


def test_nothing_is_in_the_way_of_what_fits(pool: World) -> None:
    job = pool.submit(command=["true"])
    assert told(pool, job) == {} and line_blocker(0) == [] and line_blocker(None) == []


def test_without_nodes_a_node_is_missing(world: World) -> None:
    job = world.submit(command=["true"])
    assert told(world, job) == {"no_nodes": ("no node has joined", "corral join on a machine")}


def test_a_busy_resource_is_counted_over_the_nodes_and_measured_at_the_nearest(pool: World) -> None:
    pool.register("n2", capacity=Resources(4000, 4096))
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1500))
    pool.submit(command=["true"], resources=ResourceSpec(cpu=3000))
    pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    assert told(pool, job) == {
        "busy:cpu_millis": (
            "2 of 2 nodes lack 2 cores; nearest n2 is short of 1 core",
            "would start with --cpu 1, or when 2.0 ends",
        )
    }


def test_what_must_end_is_named_oldest_first(pool: World) -> None:
    pool.submit(command=["true"], array="0-1")
    pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    assert told(pool, job)["busy:cpu_millis"] == ("node n1 lacks 2 cores", "when 1.0, 1.1 end")


def test_tasks_of_others_are_not_named(pool: World) -> None:
    """Not even by their job's number, which would tell that it exists and where it runs."""
    pool.submit(owner="bob", command=["true"])
    pool.submit(command=["true"])
    pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    assert told(pool, job)["busy:cpu_millis"][1] == "when 1 task of another user, 2.0 end"
    job = pool.submit(command=["true"])
    pool.schedule()
    assert told(pool, job)["busy:cpu_millis"][1] == "when 1 task of another user ends"


def test_many_tasks_of_others_are_counted(pool: World) -> None:
    pool.submit(owner="bob", command=["true"], array="0-1")
    pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    assert told(pool, job)["busy:cpu_millis"][1] == "when 2 tasks of others end"


def test_more_than_one_lacking_resource_has_no_flag_that_would_do(pool: World) -> None:
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1500, memory=4000))
    pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=1000, memory=1000))
    pool.schedule()
    found = told(pool, job)
    assert found["busy:cpu_millis"][1] == "when 1.0 ends"
    assert found["busy:mem_mib"] == (
        "node n1 lacks 1000 MiB of memory; nearest n1 is short of 904 MiB of memory",
        "when 1.0 ends",
    )


def test_an_end_that_frees_too_little_is_not_promised(pool: World) -> None:
    pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    (placed,) = pool.schedule()
    job = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    pool.start(placed)
    pool.register("n1", capacity=Resources(1000, 4096))  # it came back smaller, and is over-committed
    pool.cluster.nodes["n1"].attempts[placed.attempt].holding = False
    assert told(pool, job)["busy:cpu_millis"] == ("node n1 lacks 2 cores", "")


def test_nobody_is_told_to_ask_for_nothing(world: World) -> None:
    world.register("n1", capacity=Resources(1000, 4096, storage_mib=100))
    job = world.submit(command=["true"], resources=ResourceSpec(storage=10))
    world.cluster.nodes.clear()
    world.register("n2")
    assert told(world, job)["capacity:storage_mib"] == ("node n2 could never hold 10 MiB of storage", "")


@pytest.mark.parametrize(
    ("fields", "node", "expected"),
    [
        (
            {"constraints": Constraints(labels={"zone": "a"})},
            {},
            {
                "label:zone": (
                    "node n2 lacks the label zone=a",
                    "give a node that label, or submit without the constraint",
                )
            },
        ),
        (
            {"constraints": Constraints(nodes=["n1"])},
            {},
            {"node": ("node n2 is not among those asked for: n1", "submit without the constraint")},
        ),
        (
            {"resources": ResourceSpec(cpu=2000)},
            {"capacity": Resources(1000, 4096)},
            {
                "capacity:cpu_millis": (
                    "node n2 could never hold 2 cores",
                    "ask for 1 core, as n2 has, or less",
                ),
                "busy:cpu_millis": ("node n2 lacks 2 cores; nearest n2 is short of 1 core", ""),
            },
        ),
        (
            {},
            {"kind": NodeKind.CONTROL},
            {"kind:control": ("node n2: control nodes run no tasks", "when a node that runs tasks joins")},
        ),
        (
            {"command": None, "tool": "wordcount", "for_each": ["/a"]},
            {"tools": ()},
            {
                "tool:wordcount": (
                    "node n2 does not have the tool wordcount",
                    "when a node with the tool joins",
                )
            },
        ),
    ],
)
def test_each_mismatch_has_its_words(
    world: World, fields: dict[str, Any], node: dict[str, Any], expected: dict[str, tuple[str, str]]
) -> None:
    """Accepted while n1 could run it; then only n2 is left."""
    world.register("n1", labels={"zone": "a"})
    job = world.submit(**{"command": ["true"], **fields})
    del world.cluster.nodes["n1"]
    world.cluster.nodes.clear()
    world.register("n2", **node)
    assert told(world, job) == expected


def test_several_nodes_speak_in_the_plural(pool: World) -> None:
    pool.register("n2", tools=())
    pool.register("n3", tools=())
    shape = pool.cluster.jobs[pool.submit(tool="wordcount", for_each=["/a"])].groups[0].shape
    del pool.cluster.nodes["n1"]
    (blocker,) = node_blockers(pool.cluster, shape, asker=UserName("alice"))
    assert (blocker.message, blocker.nodes) == ("2 of 2 nodes do not have the tool wordcount", 2)


def test_nodes_that_take_no_work_are_named_with_the_reason(pool: World) -> None:
    for name in ("n2", "n3", "n4"):
        pool.register(name)
    job = pool.submit(command=["true"])
    pool.steer("n1", NodeAdmin.DRAINING, reason="new disks")
    pool.steer("n2", NodeAdmin.INACTIVE)
    pool.steer("n3", NodeAdmin.INACTIVE)
    pool.cluster.nodes["n4"].health = NodeHealth.UNREACHABLE
    assert told(pool, job) == {
        "admin:draining": ("n1 is draining: new disks", "corral undrain n1"),
        "admin:inactive": ("n2, n3 are cordoned", "corral undrain n2"),
        "health:unreachable": ("n4 is unreachable", "when it is back"),
    }
    pool.cluster.nodes["n3"].health = NodeHealth.UNREACHABLE
    assert told(pool, job)["health:unreachable"] == ("n3, n4 are unreachable", "when one is back")
    pool.cluster.nodes["n4"].health, pool.cluster.nodes["n4"].overdue = NodeHealth.DEGRADED, True
    assert told(pool, job)["health:degraded"] == ("n4 is degraded", "at its next heartbeat")


def test_many_names_are_cut(world: World) -> None:
    for number in range(6):
        world.register(f"n{number}")
        world.steer(f"n{number}", NodeAdmin.INACTIVE)
    job = world.submit(command=["true"])
    assert told(world, job)["admin:inactive"][0] == "n0, n1, n2, n3 and 2 more are cordoned"


def test_a_node_kept_free_says_for_whom(pool: World) -> None:
    pool.submit(command=["true"], priority=9)
    pool.schedule()
    pool.submit(command=["true"], priority=9, resources=ResourceSpec(cpu=2000))
    pool.wait(31.0)
    pool.beat("n1")
    pool.schedule()
    job = pool.submit(command=["true"])
    pool.schedule()
    assert told(pool, job) == {
        "reserved": ("n1 is kept free for a task that has waited longer", "when that task has started")
    }
    assert place(pool, job, 0)[0] == 1
    assert line_blocker(1)[0].message == "1 task goes first"
    assert line_blocker(2)[0].message == "2 tasks go first"


def test_needs_say_how_far_they_are(pool: World) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-3"),
            TaskSpec(name="z", command=["true"]),
            TaskSpec(name="b", command=["true"], needs=["z", "a"]),
        ],
        priority=5,
    )
    first, second = pool.schedule()
    pool.end(first)
    assert told(pool, job, 5)["needs"] == (
        "needs a (from task 1.0 on): 1 of 4 completed, 1 placed, 2 waiting",
        "when all of a have completed",
    )
    assert place(pool, job, 5) == (None, None)
    pool.end(second)
    for placement in pool.schedule():
        pool.end(placement)
    assert told(pool, job, 5) == {}


def test_a_need_that_is_met_is_not_told(pool: World) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["true"]),
            TaskSpec(name="z", command=["true"]),
            TaskSpec(name="b", command=["true"], needs=["z", "a"]),
        ]
    )
    first, _ = pool.schedule()
    pool.end(first)
    assert told(pool, job, 2)["needs"][0] == "needs z (from task 1.1 on): 0 of 1 completed, 1 placed"


def test_what_was_cancelled_goes_before_nobody(pool: World) -> None:
    gone = pool.submit(command=["true"], array="0-9", priority=9)
    last = pool.submit(command=["true"], array="0-9")
    assert place(pool, last, 0)[0] == 10
    pool.cancel(gone)
    assert place(pool, last, 0)[0] == 0


def test_a_hold_a_limit_and_a_backoff_are_told_together(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-9%2", retries=3, backoff=12)
    first, _ = pool.schedule()
    pool.end(first, exit_code=1)
    pool.schedule()
    assert told(pool, job, 5)["array_limit"] == (
        "2 of its tasks are live, and the job allows %2",
        "when one of them ends; or submit with a limit above %2",
    )
    assert place(pool, job, 0) == (None, None)
    found = told(pool, job, 0)
    message, remedy = found["backoff"]
    assert message == "failed, and is retried for time 1 of 3"
    assert 9 <= int(remedy.removeprefix("in ").removesuffix(" s")) <= 12
    pool.hold(job)
    assert told(pool, job, 0)["held"] == ("job 1 is held by alice", "corral release 1")
    assert set(told(pool, job, 0)) == {"held", "backoff", "array_limit", "busy:cpu_millis"}
    pool.cluster.retries.clear()
    assert told(pool, job, 0)["backoff"][1] == "in 0 s"


def test_a_place_in_line_counts_tasks(pool: World) -> None:
    pool.submit(command=["true"], array="0-9", priority=6)
    limited = pool.submit(command=["true"], array="0-9%4", priority=6, resources=ResourceSpec(cpu=500))
    last = pool.submit(command=["true"], array="0-99")
    pool.cancel(last, 3)
    assert place(pool, last, 0)[0] == 14  # the limit lets four of the ten go
    assert place(pool, last, 5)[0] == 14 + 4
    assert place(pool, limited, 2)[0] == 10 + 2
    pool.hold(limited)
    assert place(pool, last, 0)[0] == 10 and place(pool, limited, 0) == (None, None)


def test_tasks_that_wait_again_have_a_place_too(pool: World) -> None:
    limited = pool.submit(command=["true"], array="0-9%2")
    first, second = pool.schedule()
    pool.give_back(second)
    pool.give_back(first)
    assert [place(pool, limited, index)[0] for index in (1, 0, 2, 3)] == [0, 1, 2, 3]
    plain = pool.submit(command=["true"], array="0-1", priority=7)
    first, _ = pool.schedule()
    pool.give_back(first)
    assert place(pool, plain, 0)[0] == 0
    pool.cancel(plain, 0)
    assert place(pool, limited, 1)[0] == 0


def test_a_full_group_lets_others_by(pool: World) -> None:
    pool.submit(command=["true"], array="0-9%1", priority=9)
    other = pool.submit(command=["true"], array="0-3")
    pool.schedule()
    assert place(pool, other, 1)[0] == 0


def test_a_job_answers_for_its_first_waiting_task(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-3")
    first, second = pool.schedule()
    kept = pool.cluster.jobs[job]
    assert first_waiting(kept) == 2 and newest_placed(kept) == 1
    pool.give_back(first)
    assert first_waiting(kept) == 0
    pool.end(second)
    assert newest_placed(kept) is None
    assert not waits(kept.groups[0], 1) and waits(kept.groups[0], 3)


def test_a_job_whose_tasks_all_run_has_none_that_waits(pool: World) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    assert first_waiting(pool.cluster.jobs[job]) is None


def test_candidates_are_the_nodes_of_a_round(pool: World) -> None:
    pool.register("n2", capacity=Resources(8000, 4096))
    pool.register("n3")
    pool.steer("n3", NodeAdmin.INACTIVE)
    job = pool.submit(command=["true"])
    seen = candidates(pool.cluster, pool.cluster.jobs[job].groups[0].shape)
    assert [(each.node, each.obstacles) for each in seen] == [
        ("n1", []),
        ("n2", []),
        ("n3", ["admin:inactive"]),
    ]
    assert seen[0].score is not None and seen[1].score is not None and seen[0].score < seen[1].score


def test_a_decision_is_told_as_it_was_kept(pool: World) -> None:
    kept = Explanation(
        candidates=(Seen(NodeName("n1"), 0.5), Seen(NodeName("n2"), 0.7)),
        rejected={NodeName("n3"): ("busy:gpus",)},
    )
    assert decided(kept, "n1") == [
        Candidate(node="n1", score=0.5, chosen=True),
        Candidate(node="n2", score=0.7),
        Candidate(node="n3", obstacles=["busy:gpus"]),
    ]
    assert decided(Explanation(), "n9") == [Candidate(node="n9", chosen=True)]


def test_amounts_in_words() -> None:
    assert [describe(name, 2000) for name in RESOURCES] == [
        "2 cores", "2 GiB of memory", "2 GPUs", "2 GiB of storage", "2 Gbit/s of network",
    ]  # fmt: skip
    assert [describe("cpu_millis", 1000), describe("gpus", 1000)] == ["1 core", "1 GPU"]
    assert [flag(name, 500) for name in RESOURCES] == [
        "--cpu 0.5", "--memory 500Mi", "--gpu 0.5", "--storage 500Mi", "--net 500M",
    ]  # fmt: skip


def test_of_several_jobs_only_those_that_are_still_awaited_are_named(pool: World) -> None:
    one, two = pool.submit(command=["true"]), pool.submit(command=["true"])
    job = pool.submit(command=["true"], after=[one, two])
    (first, _) = pool.schedule()
    pool.end(first)
    assert told(pool, job)["after"] == (
        "runs after 2: 0 of 1 task completed",
        "when job 2 has completed",
    )


def test_a_stream_that_waits_to_be_started_again_says_so(pool: World) -> None:
    job = pool.submit(command=["serve"], type=JobKind.STREAMING)
    (first,) = pool.schedule()
    pool.end(first, exit_code=0)
    assert told(pool, job, 0)["backoff"][0] == "ended, and is started again: its job is a stream"


def test_a_node_that_gave_work_back_gets_more_once_it_is_heard(pool: World) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.report("n1", Returned(attempt=placement.attempt))
    assert pool.schedule() == []
    assert told(pool, job) == {
        "declined": ("node n1 gave back work that it could not start", "when it is heard again")
    }
