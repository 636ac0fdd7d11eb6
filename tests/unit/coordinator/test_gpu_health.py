"""One GPU goes and the node goes on: who is moved and told, what brings it back, what a restart keeps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.gpus import RULES, GpuFault
from bus.spec import GangSpec, ResourceSpec
from bus.values import GPU_MILLI, GpuUsage, NodeName, Resources, TaskState, Usage, UserName
from coordinator.core.effects import (
    AnswerGpu,
    AuditRow,
    EventRecord,
    Placement,
    Refuse,
    SendCancel,
    SendRetract,
)
from coordinator.core.events import AgentBeat, GpuAsked, UsageSeen
from coordinator.core.model import shape_of
from coordinator.core.node import offering
from coordinator.core.picture import picture
from coordinator.core.scheduler.feasible import mismatches, never_fits, obstacles
from coordinator.core.scheduler.gangs import seats_ever
from coordinator.core.scheduler.pool import Pool
from coordinator.core.why import node_blockers
from tests.unit.coordinator.conftest import INVENTORY, World
from tests.unit.coordinator.test_sharing_gpus import gpu, join, submit

ENDING = sorted(kind for kind, rule in RULES.items() if rule.ends)
HEALING = sorted(kind for kind, rule in RULES.items() if rule.heals)


def fault(uuid: str, kind: str = "xid", mark: str = "1", reason: str = "XID 79") -> GpuFault:
    return GpuFault(uuid=uuid, kind=kind, mark=mark, reason=reason)


def tell(world: World, *faults: GpuFault, node: str = "n1", looked: bool = True) -> None:
    """A heartbeat that says so of its GPUs."""
    world.happen(
        AgentBeat(
            node=NodeName(node),
            incarnation="first",
            sequence=1,
            load=0.5,
            live=tuple(world.held.get(node, {})),
            gpus=faults if looked else None,
            reply=2,
        )
    )


def ask(
    world: World, which: str, *, quarantined: bool, node: str = "n1", reason: str = ""
) -> AnswerGpu | Refuse:
    asked = GpuAsked(
        node=NodeName(node), gpu=which, quarantined=quarantined, reason=reason, by=UserName("olga"), reply=3
    )
    (answer,) = [each for each in world.happen(asked) if isinstance(each, AnswerGpu | Refuse)]
    return answer


def events(world: World) -> list[tuple[str, str]]:
    found = [each for each in world.effects if isinstance(each, EventRecord)]
    return [(each.event_type, each.message) for each in found]


def out(world: World, node: str = "n1") -> set[str]:
    return set(world.cluster.nodes[NodeName(node)].quarantined)


@pytest.fixture
def two(world: World) -> World:
    """One node with GPUs a and b."""
    join(world, "n1", gpu("a"), gpu("b"))
    return world


@pytest.mark.parametrize("kind", [*ENDING, "newer_than_we"])
def test_what_runs_on_a_broken_gpu_is_queued_again_and_the_other_gpu_goes_on(two: World, kind: str) -> None:
    job = submit(two, tasks=2, gpu=1)
    placed = two.schedule()
    for each in placed:
        two.start(each)
    ill = placed[0].gpus[0]
    tell(two, fault(ill, kind))
    assert out(two) == {ill}
    (cancel,) = [each for each in two.tells if isinstance(each, SendCancel)]
    assert cancel.attempts == (placed[0].attempt,)
    ((what, text),) = events(two)
    index = "ab".index(ill)
    assert what == "gpu_quarantined"
    assert text == (
        f"GPU {index} of n1 is quarantined: XID 79; 1 task queued again;"
        f" corral gpu release n1 {index} brings it back"
    )
    two.end(placed[0], exit_code=None, signal=15)
    assert two.task_state(job, 0) is TaskState.QUEUED
    two.end(placed[1])
    (again,) = two.schedule()
    assert again.attempt.task == placed[0].attempt.task and again.gpus != (ill,)


@pytest.mark.parametrize("kind", ["memory", "hot"])
def test_a_lesser_fault_lets_run_what_runs_and_gives_the_gpu_to_nobody_new(two: World, kind: str) -> None:
    submit(two, tasks=3, gpu=0.5, gpu_type="a100")
    started, waiting, _ = two.schedule()
    two.start(started)
    assert started.gpus == waiting.gpus
    tell(two, fault(started.gpus[0], kind))
    assert not [each for each in two.tells if isinstance(each, SendCancel)]
    (retract,) = [each for each in two.tells if isinstance(each, SendRetract)]
    assert retract.attempts == (waiting.attempt,)
    two.give_back(waiting)
    (moved,) = two.schedule()
    assert moved.gpus != started.gpus


def test_nothing_is_placed_on_it_and_capacity_says_so(two: World) -> None:
    submit(two, tasks=2, gpu=1)
    tell(two, fault("a", "lost"))
    assert [each.gpus for each in two.schedule()] == [("b",)]
    node = two.cluster.nodes[NodeName("n1")]
    assert (node.capacity.gpus, node.free.gpus) == (1, 0)
    assert [each.uuid for each in node.withheld_gpus] == ["a"]


def test_while_a_task_has_the_ill_gpu_the_other_one_stays_free_for_others(two: World) -> None:
    submit(two, tasks=1, gpu=1)
    (running,) = two.schedule()
    two.start(running)
    tell(two, fault(running.gpus[0], "hot"))
    node = two.cluster.nodes[NodeName("n1")]
    assert (node.capacity.gpus, node.free.gpus) == (2, 1)
    submit(two, tasks=1, gpu=1)
    assert len(two.schedule()) == 1
    two.end(running)
    assert node.capacity.gpus == 1


def test_the_same_fault_again_says_nothing_and_a_heavier_one_moves_the_tasks(two: World) -> None:
    submit(two, gpu=1)
    (running,) = two.schedule()
    two.start(running)
    ill = running.gpus[0]
    tell(two, fault(ill, "hot"))
    tell(two, fault(ill, "hot"))
    assert events(two) == []
    tell(two, fault(ill, "hot"), fault(ill, "ecc", reason="2 uncorrected errors"))
    assert [each for each in two.tells if isinstance(each, SendCancel)]
    assert two.cluster.nodes[NodeName("n1")].quarantines[ill].kind == "ecc"
    tell(two, fault(ill, "hot"))
    assert out(two) == {ill}, "an error of the memory does not heal"


@pytest.mark.parametrize("kind", HEALING)
def test_what_heals_comes_back_when_its_agent_no_longer_tells_of_it(two: World, kind: str) -> None:
    tell(two, fault("a", kind))
    tell(two, looked=False)
    assert out(two) == {"a"}, "silence heals nothing"
    tell(two)
    assert out(two) == set()
    assert events(two) == [("gpu_released", "GPU 0 of n1 is given out again: its fault has gone")]
    tell(two, fault("a", kind))
    assert out(two) == {"a"}, "and it may go again"


def test_a_fault_that_takes_the_place_of_a_healed_one_keeps_it_out(two: World) -> None:
    tell(two, fault("a", "unclean", "u"))
    tell(two, fault("a", "hot", "h"))
    assert two.cluster.nodes[NodeName("n1")].quarantines["a"].kind == "hot"


@pytest.mark.parametrize("kind", ["xid", "ecc"])
def test_a_release_forgives_what_was_told_and_nothing_that_comes_after(two: World, kind: str) -> None:
    tell(two, fault("a", kind, "1"))
    tell(two)
    assert out(two) == {"a"}, "it does not heal by itself"
    tell(two, fault("a", kind, "1"))
    answer = ask(two, "0", quarantined=False, reason="driver loaded anew")
    assert isinstance(answer, AnswerGpu) and answer.uuid == "a"
    assert events(two) == [("gpu_released", "GPU 0 of n1 is released by olga: driver loaded anew")]
    assert [each.action for each in two.effects if isinstance(each, AuditRow)] == ["gpu.release"]
    tell(two, fault("a", kind, "1"))
    assert out(two) == set()
    tell(two, fault("a", kind, "1"), fault("a", kind, "2"))
    assert out(two) == {"a"}


@pytest.mark.parametrize("kind", sorted(kind for kind, rule in RULES.items() if rule.lasting))
def test_nobody_releases_what_its_agent_sees_to_last(two: World, kind: str) -> None:
    tell(two, fault("b", kind, reason="it is still there"))
    refused = ask(two, "b", quarantined=False)
    assert isinstance(refused, Refuse)
    (why,) = refused.faults
    assert (why.code, why.message) == ("E_QUARANTINED", "GPU 1 of n1 is still so: it is still there")
    tell(two)
    assert isinstance(ask(two, "b", quarantined=False), AnswerGpu)
    assert out(two) == set()


def test_people_take_a_gpu_out_and_what_runs_on_it_goes_on(two: World) -> None:
    submit(two, gpu=1)
    (running,) = two.schedule()
    two.start(running)
    place = "ab".index(running.gpus[0])
    assert isinstance(ask(two, str(place), quarantined=True, reason="new fan"), AnswerGpu)
    assert not [each for each in two.tells if isinstance(each, SendCancel)]
    ((what, text),) = events(two)
    assert what == "gpu_quarantined" and f"GPU {place} of n1 is quarantined by olga: new fan" in text
    ask(two, str(place), quarantined=True)
    assert not two.effects or events(two) == [], "twice changes nothing"
    tell(two)
    assert out(two) == {running.gpus[0]}, "what people did only people undo"
    ask(two, str(place), quarantined=False)
    ask(two, str(place), quarantined=False)
    assert out(two) == set() and events(two) == []


def test_people_may_take_out_what_was_out_before_and_a_fault_may_take_it_then(two: World) -> None:
    tell(two, fault("a", "ecc", "1"))
    ask(two, "a", quarantined=False)
    ask(two, "a", quarantined=True)
    tell(two, fault("a", "ecc", "1"))
    assert two.cluster.nodes[NodeName("n1")].quarantines["a"].kind == "manual", "that one is forgiven"
    tell(two, fault("a", "ecc", "2"))
    assert two.cluster.nodes[NodeName("n1")].quarantines["a"].kind == "ecc"


@pytest.mark.parametrize(
    ("node", "which", "words"),
    [
        ("n9", "0", "no node n9"),
        ("n1", "2", "node n1 has no such GPU"),
        ("n1", "GPU-x", "node n1 has no such GPU"),
        ("n1", "9999", "node n1 has no such GPU"),
        ("n1", "²", "node n1 has no such GPU"),
        ("bare", "0", "node bare has no such GPU"),
    ],
)
def test_what_is_not_there_is_refused(two: World, node: str, which: str, words: str) -> None:
    join(two, "bare")
    for quarantined in (True, False):
        refused = ask(two, which, quarantined=quarantined, node=node)
        assert isinstance(refused, Refuse)
        assert (refused.faults[0].code, refused.faults[0].message) == ("E_NOT_FOUND", words)


def test_faults_of_gpus_that_nobody_knows_are_left_out(two: World) -> None:
    tell(two, fault("of another machine"))
    assert out(two) == set()


def test_a_gpu_that_its_agent_does_not_find_any_more_stays_out_by_its_uuid(two: World) -> None:
    tell(two, fault("b", "lost"))
    join(two, "n1", gpu("a"))
    node = two.cluster.nodes[NodeName("n1")]
    assert node.quarantined == {"b"} and node.capacity.gpus == 1
    join(two, "n1", gpu("a"), gpu("b"))
    assert node.capacity.gpus == 1, "back, and still not trusted"
    tell(two)
    ask(two, "b", quarantined=False)
    assert node.capacity.gpus == 2
    tell(two, fault("b", "lost"))
    join(two, "n1", gpu("a"))
    answer = ask(two, "b", quarantined=False)
    assert isinstance(answer, Refuse), "as it was told last"
    tell(two)
    assert isinstance(ask(two, "b", quarantined=False), AnswerGpu)


def test_a_new_leader_keeps_what_is_out_and_what_was_forgiven(two: World) -> None:
    submit(two, tasks=2, gpu=1)
    for each in two.schedule():
        two.start(each)
    tell(two, fault("a", "hot"), fault("b", "ecc", "7"))
    ask(two, "b", quarantined=False)
    rebuilt = two.rebuilt()
    assert picture(rebuilt) == picture(two.cluster)
    node = rebuilt.nodes[NodeName("n1")]
    assert node.quarantined == {"a"} and node.quarantines["b"].forgiven == ("7",)
    assert [each.uuid for each in node.offered_gpus] == ["b"]
    assert (node.declared.gpus, node.capacity.gpus) == (1, 2)


def test_rows_from_before_gpus_were_marked_offer_as_many_as_they_did(world: World) -> None:
    join(world, "n1", gpu("a"), gpu("b"), gpu("c"), offered=2)
    row = world.mirror.nodes["n1"]
    unmarked = tuple([msgspec.structs.replace(each, offered=True) for each in row.inventory.gpus])
    world.mirror.nodes["n1"] = msgspec.structs.replace(
        row, inventory=msgspec.structs.replace(row.inventory, gpus=unmarked)
    )
    node = world.rebuilt().nodes[NodeName("n1")]
    assert [each.uuid for each in node.offered_gpus] == ["a", "b"]


def test_of_the_gpus_of_a_machine_only_healthy_ones_are_offered_and_no_more_than_it_says() -> None:
    gpus = (gpu("a"), gpu("b", healthy=False), gpu("c"), gpu("d"))
    found = offering(msgspec.structs.replace(INVENTORY, gpus=gpus), 2)
    assert [each.uuid for each in found.gpus if each.offered] == ["a", "c"]
    assert offering(found, 2) is found


def test_a_job_that_only_lacks_a_quarantined_gpu_is_accepted_and_told_why_it_waits(two: World) -> None:
    tell(two, fault("a", reason="XID 48 of pid 12"))
    job = submit(two, gpu=2)
    assert two.schedule() == []
    shape = two.cluster.jobs[job].groups[0].shape
    node = two.cluster.nodes[NodeName("n1")]
    assert mismatches(node, shape) == ("gpu_quarantined",)
    assert never_fits([node], shape) is None
    assert Pool([node]).obstacles(shape) == {"gpu_quarantined": 1, "busy:gpus": 1}
    assert obstacles(node, shape) == ("gpu_quarantined", "busy:gpus")
    first = node_blockers(two.cluster, shape, asker=UserName("alice"))[0]
    assert first.message == "node n1 has 1 GPU in quarantine: XID 48 of pid 12"
    assert first.remedy == "corral gpu release n1 0"
    ask(two, "0", quarantined=False)
    assert len(two.schedule()) == 1


def test_a_gang_waits_for_quarantined_gpus_too(two: World) -> None:
    tell(two, fault("a", "ecc"))
    job = two.submit(
        command=["true"], resources=ResourceSpec(cpu=100, memory=1, gpu=1), gang=GangSpec(size=2)
    )
    assert job in two.cluster.jobs, "it is not refused"
    shape = two.cluster.jobs[job].groups[0].shape
    nodes = list(two.cluster.nodes.values())
    assert (seats_ever(nodes, shape), seats_ever(nodes, shape, released=True)) == (1, 2)
    assert two.schedule() == []
    ask(two, "a", quarantined=False)
    assert len(two.schedule()) == 2


def test_several_nodes_with_ill_gpus_are_one_reason(world: World) -> None:
    for name in ("n1", "n2"):
        join(world, name, gpu(f"{name}-a"))
        tell(world, fault(f"{name}-a", reason=""), node=name)
    shape = world.cluster.jobs[submit(world, gpu=1)].groups[0].shape
    (blocker, *_) = node_blockers(world.cluster, shape, asker=UserName("alice"))
    assert blocker.message == "2 of 2 nodes have 2 GPUs in quarantine: xid"


def use(world: World, placed: Placement, mib: float) -> list[str]:
    """A sample of what a task uses; what was said of it."""
    usage = Usage(cpu_millis=1, mem_mib=1, gpus=0.1, gpu_mem_mib=mib)
    seen = GpuUsage(uuid=placed.gpus[0], utilisation=0.1, mem_mib=mib)
    world.happen(
        UsageSeen(node=NodeName("n1"), usage=usage, load=0.1, tasks=((placed.attempt, usage),), gpus=(seen,))
    )
    return [text for what, text in events(world) if what == "gpu_share_exceeded"]


def test_who_uses_more_of_a_gpu_than_its_part_is_told_of_once_until_it_is_less(two: World) -> None:
    job = submit(two, gpu=0.25)
    (placed,) = two.schedule()
    two.start(placed)
    assert use(two, placed, 20 * 1024.0) == []
    (text,) = use(two, placed, 30 * 1024.0)
    place = "ab".index(placed.gpus[0])
    assert text == f"task {job}.0 uses 30 GiB of GPU {place} of n1; its part is 20 GiB"
    assert use(two, placed, 31 * 1024.0) == []
    assert use(two, placed, 10 * 1024.0) == []
    assert len(use(two, placed, 30 * 1024.0)) == 1
    two.end(placed)
    assert use(two, placed, 30 * 1024.0) == [], "it is over"
    assert not two.cluster.nodes[NodeName("n1")].over_share
    submit(two, gpu=1)
    (whole,) = two.schedule()
    two.start(whole)
    assert use(two, whole, 79 * 1024.0) == [], "a whole one is its own"


Step = tuple[str, Any, Any]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.sampled_from("ab"), st.sampled_from([*RULES, ""])),
        st.tuples(st.just("ask"), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("submit"), st.sampled_from([0.3, 0.5, 1, 2]), st.none()),
        st.tuples(st.sampled_from(["start", "end", "restart"]), st.integers(0, 3), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happens_nobody_gets_a_quarantined_gpu_and_a_new_leader_agrees(steps: list[Step]) -> None:
    world = World()
    join(world, "n1", gpu("a"), gpu("b"))
    live: list[Placement] = []
    for number, (what, first, second) in enumerate(steps):
        match what:
            case "tell":
                tell(world, *([fault(first, second, str(number))] if second else []))
            case "ask":
                ask(world, first, quarantined=second)
            case "submit":
                submit(world, gpu=first)
            case "restart":
                join(world, "n1", gpu("a"), *([gpu("b")] if first else []))
            case _ if live:
                chosen = live[first % len(live)]
                if what == "start":
                    world.start(chosen)
                elif chosen.attempt in world.held["n1"]:
                    world.end(chosen)
                    live.remove(chosen)
        before = out(world)
        for placed in world.schedule():
            assert before.isdisjoint(placed.gpus)
            live.append(placed)
        node = world.cluster.nodes[NodeName("n1")]
        assert all(taken <= GPU_MILLI for taken in node.gpu_taken.values())
        assert node.declared.gpus == len(node.offered_gpus)
        assert picture(world.rebuilt()) == picture(world.cluster)


def test_it_is_the_gpu_that_is_out_and_not_the_node(two: World) -> None:
    tell(two, fault("a"), fault("b"))
    two.submit(command=["true"], resources=ResourceSpec(cpu=100, memory=1))
    assert len(two.schedule()) == 1
    assert two.cluster.nodes[NodeName("n1")].capacity == Resources(64_000, 1 << 20, 0, 1000, 1000)
    assert shape_of(two.cluster.jobs[1].groups[0].settings) is not None
