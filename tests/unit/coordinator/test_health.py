"""Silent nodes are degraded, unreachable, replaced: each in its time, and never twice what may still run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bus.messages import LogLine
from bus.values import (
    AttemptRef,
    GpuInfo,
    GpuUsage,
    NodeAdmin,
    NodeHealth,
    NodeName,
    OnDisconnect,
    Outcome,
    Resources,
    TaskState,
    Usage,
)
from coordinator.core.effects import (
    AnswerBeat,
    EventRecord,
    LogRecord,
    NodeRow,
    SendAssign,
    SendRetract,
    Tell,
    UsageRecord,
)
from coordinator.core.events import AgentBeat, CommandConfirmed, Tick, UsageSeen
from coordinator.core.why import unheard
from tests.unit.coordinator.conftest import World

HEALTHY, DEGRADED, UNREACHABLE = NodeHealth.HEALTHY, NodeHealth.DEGRADED, NodeHealth.UNREACHABLE


def pass_time(world: World, seconds: float, *, silent: tuple[str, ...] = ()) -> list[EventRecord]:
    """Ticks as in production; who is not silent beats every two seconds. All events on the way."""
    found = []
    for count in range(1, round(seconds * 4) + 1):
        world.now_s += 0.25
        events: list[AgentBeat | Tick] = [Tick()]
        if count % 8 == 0:
            for name, node in world.cluster.nodes.items():
                if name not in silent:
                    live = tuple(world.held.get(name, {}))
                    events.insert(
                        0,
                        AgentBeat(node=name, incarnation=node.incarnation, sequence=1, load=0.0, live=live),
                    )
        for event in events:
            world.happen(event)
            found += [effect for effect in world.effects if isinstance(effect, EventRecord)]
    return found


def health(world: World, name: str = "n1") -> NodeHealth:
    assert world.mirror.nodes[name].health is world.cluster.nodes[name].health
    return world.cluster.nodes[name].health


def kinds(events: list[EventRecord]) -> list[str]:
    return [event.event_type for event in events]


@pytest.mark.contract("S0.61")
def test_a_dead_node_is_seen_within_3_s_unreachable_at_10_and_replaced_at_15_5(pool: World) -> None:
    pool.register("n2")
    pass_time(pool, 20)
    job = pool.submit(command=["true"])
    (first,) = pool.schedule()
    node = next(name for name, held in pool.held.items() if held)
    pool.start(first, node)
    died_s = pool.now_s
    seen: dict[str, float] = {}
    while pool.task_state(job) is TaskState.RUNNING:
        for event in pass_time(pool, 0.25, silent=(node,)):
            seen[event.event_type] = pool.now_s - died_s
        pool.beat("n2" if node == "n1" else "n1")
    assert seen["node_degraded"] <= 3.0
    assert seen["node_unreachable"] == 10.0
    assert seen["attempts_lost"] == 15.5
    (second,) = pool.schedule()
    assert second.attempt.fence == 2 and second.attempt not in pool.held[node]


def test_a_node_that_flaps_is_not_shown_as_flapping(pool: World) -> None:
    """Every 12 s a pause of 4 s, for ten minutes."""
    events: list[EventRecord] = []
    for _ in range(50):
        events += pass_time(pool, 4, silent=("n1",))
        events += pass_time(pool, 8)
    changes = [kind for kind in kinds(events) if kind in ("node_back", "node_degraded")]
    assert 0 < len(changes) < 20, "of a hundred changes that there were"
    pass_time(pool, 20)
    assert health(pool) is HEALTHY


def test_an_overdue_node_gets_nothing_and_a_doubted_one_comes_last(pool: World) -> None:
    pool.register("n2")
    pool.cluster.nodes["n1"].watch.falls = 5.0
    pool.cluster.nodes["n1"].watch.fell_s = pool.now_s
    pass_time(pool, 4, silent=("n1",))
    assert health(pool) is DEGRADED
    pool.submit(command=["true"], array="0-2")
    assert len(pool.schedule()) == 2 and not pool.held.get("n1")
    pool.beat("n1")
    assert health(pool) is DEGRADED
    (last,) = pool.schedule()
    assert last.attempt in pool.held["n1"]
    pass_time(pool, 40)
    assert health(pool) is HEALTHY


def test_a_coordinator_that_did_not_listen_doubts_nobody(pool: World) -> None:
    pass_time(pool, 1)
    pool.wait(6.0)
    assert health(pool) is HEALTHY
    pool.now_s += 0.25
    pool.happen(Tick())
    assert health(pool) is DEGRADED


def test_a_restarted_agent_is_heard(pool: World) -> None:
    pass_time(pool, 12, silent=("n1",))
    assert health(pool) is UNREACHABLE
    pool.register("n1", incarnation="second")
    assert health(pool) is HEALTHY
    assert "node_back" in kinds([e for e in pool.effects if isinstance(e, EventRecord)])
    assert sum(isinstance(effect, NodeRow) for effect in pool.effects) == 2


def test_what_goes_wrong_on_a_node_speaks_against_it_for_a_while(pool: World) -> None:
    pool.register("n2")
    for _ in range(2):
        pool.cluster.nodes["n1"].anomalous = False
        pool.happen(UsageSeen(node="n1", usage=Usage(cpu_millis=99_000.0, mem_mib=100.0), load=0.1))
    assert pool.cluster.nodes["n1"].watch.evidence == 0.6
    events = pass_time(pool, 2)
    assert health(pool) is DEGRADED and "went wrong" in events[0].message
    pass_time(pool, 60)
    assert health(pool) is DEGRADED
    pass_time(pool, 100)
    assert health(pool) is HEALTHY


def test_gpus_are_told_one_by_one_and_only_those_that_there_are(pool: World) -> None:
    there = GpuInfo(uuid="GPU-0", model="H100", mem_mib=81_920)
    node = pool.cluster.nodes[NodeName("n1")]
    node.inventory = replace(node.inventory, gpus=(there,))
    first, second, strange = (
        GpuUsage(uuid=uuid, utilisation=share, mem_mib=1.0)
        for uuid, share in (("GPU-0", 0.1), ("GPU-0", 0.2), ("GPU-9", 0.9))
    )
    pool.happen(
        UsageSeen(
            node="n1", usage=Usage(cpu_millis=1.0, mem_mib=1.0), load=0.1, gpus=(first, strange, second)
        )
    )
    (record,) = (each for each in pool.effects if isinstance(each, UsageRecord))
    assert record.gpus == (second,), "none twice at one instant, none of another machine"


def test_what_an_agent_complains_of_is_kept_where_its_time_was(pool: World) -> None:
    lines = (
        LogLine(age_s=2.0, severity="warning", text="a full disk"),
        LogLine(severity="fatal", text="of a newer agent"),
    )
    usage = Usage(cpu_millis=1.0, mem_mib=1.0)
    pool.happen(UsageSeen(node="n1", usage=usage, load=0.1, age_s=10.0, log=lines))
    node = pool.cluster.nodes["n1"]
    assert [each for each in pool.effects if isinstance(each, LogRecord)] == [
        LogRecord(at=pool.now_s - 12.0, node_id=node.id, severity="warning", text="a full disk"),
        LogRecord(at=pool.now_s - 10.0, node_id=node.id, severity="error", text="of a newer agent"),
    ]


# run_on


def run_on(world: World) -> int:
    job = world.submit(command=["true"], on_disconnect=OnDisconnect.RUN_ON)
    (placement,) = world.schedule()
    world.start(placement)
    return job


def test_what_is_to_run_on_is_kept_and_goes_on_when_the_node_is_back(pool: World) -> None:
    job = run_on(pool)
    (placement,) = pool.held["n1"].values()
    pool.register("n2")
    events = pass_time(pool, 600, silent=("n1",))
    assert kinds(events).count("attempts_kept") == 1 and "attempts_lost" not in kinds(events)
    assert pool.schedule() == [] and pool.task_state(job) is TaskState.RUNNING
    pool.beat("n1")
    pool.end(placement)
    assert pool.task_state(job) is TaskState.COMPLETED


def test_the_same_beside_work_that_is_replaced(pool: World) -> None:
    kept = run_on(pool)
    lost = pool.submit(command=["true"])
    pool.schedule()
    events = pass_time(pool, 16, silent=("n1",))
    assert {"attempts_kept", "attempts_lost"} <= set(kinds(events))
    assert pool.task_state(kept) is TaskState.RUNNING and pool.task_state(lost) is TaskState.QUEUED


def test_run_on_wins_over_idempotent(pool: World) -> None:
    job = pool.submit(command=["true"], on_disconnect=OnDisconnect.RUN_ON, idempotent=True)
    pool.schedule()
    pass_time(pool, 30, silent=("n1",))
    assert pool.task_state(job) is TaskState.ASSIGNED


@pytest.mark.parametrize("when_s", [5.0, 30.0])
def test_a_cancel_ends_it_once_the_lease_is_over_and_the_node_is_told_later(pool: World, when_s) -> None:
    job = run_on(pool)
    (ref,) = pool.held["n1"]
    pass_time(pool, when_s, silent=("n1",))
    pool.cancel(job)
    pass_time(pool, 16, silent=("n1",))
    assert pool.task_state(job) is TaskState.CANCELLED
    assert pool.beat("n1").drop == (ref,)


def test_a_requeue_waits_for_the_nodes_word(pool: World) -> None:
    job = run_on(pool)
    (placement,) = pool.held["n1"].values()
    pool.register("n2")
    pass_time(pool, 30, silent=("n1",))
    pool.requeue(job)
    pass_time(pool, 60, silent=("n1",))
    assert pool.schedule() == []
    pool.end(placement, exit_code=None, outcome=Outcome.CANCELLED)
    (again,) = pool.schedule()
    assert again.attempt.fence == 2


def test_a_reboot_ends_it(pool: World) -> None:
    job = run_on(pool)
    pass_time(pool, 30, silent=("n1",))
    pool.held.clear()
    pool.register("n1", boot_id="next", incarnation="second")
    assert pool.task_state(job) is TaskState.QUEUED


def test_the_nodes_own_books_end_it(pool: World) -> None:
    job = run_on(pool)
    pass_time(pool, 30, silent=("n1",))
    pool.held.clear()
    pool.beat("n1")
    pool.now_s += 2
    pool.beat("n1")
    assert pool.task_state(job) is TaskState.QUEUED


# who asks why


def test_why_says_what_becomes_of_what_runs_on_a_silent_node(pool: World) -> None:
    pool.submit(command=["true"])
    pool.submit(command=["true"], idempotent=True)
    plain, early = (placement.attempt for placement in pool.schedule())
    pool.register("n2")
    run_on_job = pool.submit(command=["true"], on_disconnect=OnDisconnect.RUN_ON)
    pool.schedule()

    def told(job: int) -> str:
        task = pool.cluster.jobs[job].groups[0].find_task(0)
        assert task is not None and task.attempt is not None
        return unheard(pool.cluster, task.attempt, now_s=pool.now_s)

    assert told(1) == ""
    pass_time(pool, 8, silent=("n1", "n2"))
    assert told(1) == "n1 has been silent for 8 s: queued again in 8 s unless it comes back"
    assert told(2) == "n1 has been silent for 8 s: queued again in 2 s unless it comes back"
    assert told(run_on_job).endswith("it may run on there, and is not given to another node")
    pool.register("n3")
    pool.register("n4")
    pool.register("n5")
    pool.cluster.nodes["n3"].last_beat_s -= 8
    pass_time(pool, 0.25, silent=("n1", "n2", "n3"))
    assert told(1).endswith("3 of 5 nodes fell silent at once: nothing is replaced")
    assert plain != early


# what is not started


@pytest.mark.contract("S1.51")
def test_what_a_node_has_and_does_not_start_is_asked_back_and_queued_again(pool: World) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.confirm()
    pass_time(pool, 31)
    assert not pool.cluster.nodes["n1"].watch.evidence
    pool.now_s += 2
    pool.beat()
    assert pool.answer(SendRetract).attempts == (placement.attempt,)
    pool.give_back(placement)
    assert pool.history(job)[-2:] == ["reassigned", "queued"]
    lost = pool.mirror.attempts[placement.attempt]
    assert (str(lost.state), lost.message) == ("lost", "not started within 30 s")
    assert pool.cluster.nodes["n1"].watch.evidence > 0
    (again,) = pool.schedule()
    pool.start(again)
    assert pool.task_state(job) is TaskState.RUNNING


def test_who_starts_in_time_or_waits_by_right_is_left_alone(pool: World) -> None:
    started = pool.submit(command=["true"])
    paused = pool.submit(command=["true"])
    one, two = pool.schedule()
    pool.start(one)
    pool.pause(paused)
    pass_time(pool, 90)
    assert two.attempt in pool.held["n1"] and pool.task_state(started) is TaskState.RUNNING
    assert not any(attempt.late for attempt in pool.cluster.attempts())


def test_assignments_reach_degraded_nodes_again(pool: World) -> None:
    from coordinator.core.events import CommandUnanswered

    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.cluster.nodes["n1"].health = DEGRADED
    pool.happen(CommandUnanswered(node="n1", attempts=(placement.attempt,)))
    pool.beat("n1", live=[])
    assert pool.answer(SendAssign).placements[0].attempt == placement.attempt
    pool.happen(CommandConfirmed(node="n1", attempts=(placement.attempt,)))
    assert pool.cluster.nodes["n1"].admin is NodeAdmin.ACTIVE


def leave(pool: World, *live: AttemptRef, name: str = "n1", reply: int = 5) -> list[Tell]:
    goodbye = AgentBeat(
        node=NodeName(name),
        incarnation="first",
        sequence=9,
        load=0.0,
        live=live,
        leaving=True,
        reply=reply,
    )
    return pool.happen(goodbye)


def test_a_goodbye_is_believed_at_once_and_held_against_nobody(pool: World) -> None:
    assert isinstance(leave(pool)[-1], AnswerBeat)
    node = pool.cluster.nodes["n1"]
    assert node.health is UNREACHABLE and node.suspicion == 1.0
    (told,) = [effect for effect in pool.effects if isinstance(effect, EventRecord)]
    assert told.message == "node n1: healthy -> unreachable: its agent was stopped"
    pool.submit(command=["true"])
    assert pool.schedule() == []
    pool.now_s += 1
    pool.register("n1", incarnation="second")
    assert node.health is HEALTHY and not node.left
    assert len(pool.schedule()) == 1


def test_a_goodbye_that_waits_for_no_answer_counts_as_well(pool: World) -> None:
    assert leave(pool, reply=0) == []
    assert pool.cluster.nodes["n1"].left


def test_what_never_reached_an_agent_that_left_is_free_at_once(pool: World) -> None:
    """What it says it has, and what it had confirmed, may be running: the lease decides."""
    pool.register("n1", capacity=Resources(3000, 4096))
    job = pool.submit(command=["true"], array="0-2")
    named, confirmed, lost = (placement.attempt for placement in pool.schedule())
    pool.happen(CommandConfirmed(node=NodeName("n1"), attempts=(confirmed,)))
    leave(pool, named)
    assert [pool.cluster.find_task(each.task).state for each in (named, confirmed, lost)] == [
        *(TaskState.ASSIGNED, TaskState.ASSIGNED, TaskState.QUEUED)
    ]
    assert pool.cluster.jobs[job].queued == 1
    pass_time(pool, 16, silent=("n1",))
    assert pool.cluster.jobs[job].queued == 3
