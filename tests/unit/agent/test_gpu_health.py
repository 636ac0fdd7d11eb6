"""GPUs as their agent judges them: what is a fault, how long it lasts, and when one is free for a task."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from agent.core import effects, events
from agent.core.gpus import (
    COOL_LOOKS,
    FREE_WITHIN_S,
    HOT_LOOKS,
    PROGRAMS_FAULTS,
    SILENT_LOOKS,
    XIDS_MAX,
    Conditions,
    Look,
    faults,
    judge,
)
from agent.core.machine import step
from agent.core.model import Ledger, Order, Phase, Work
from bus.gpus import RULES
from bus.values import AttemptRef, Ended, Gang, Meeting, Outcome, Resources, Returned, TaskSettings

A100_MIB = 81_920.0


def look(**changes: Any) -> Look:
    return Look(**({"uuid": "a", "mem_mib": A100_MIB, "used_mib": 600.0} | changes))


def see(known: Conditions, *looks: Look, now_s: float = 0.0, wanted: str = "", strangers: Any = ()) -> bool:
    """Whether the last one is free."""
    return looks[-1].uuid in judge(known, looks, strangers=strangers, wanted=set(wanted), now_s=now_s)


def told(known: Conditions) -> list[tuple[str, str]]:
    found = faults(known)
    assert all(fault.kind in RULES and fault.reason for fault in found)
    return [(fault.kind, fault.mark) for fault in found]


def test_a_gpu_without_faults_and_processes_is_free() -> None:
    known: Conditions = {}
    assert see(known, look()) and told(known) == []


def test_an_xid_is_told_as_long_as_this_agent_lives_and_those_of_programs_are_not() -> None:
    known: Conditions = {}
    see(known, look(xids=(79, *PROGRAMS_FAULTS, 999)), now_s=50.5)
    see(known, look(), now_s=60.0)
    assert told(known) == [("xid", "xid 79 50"), ("xid", "xid 999 50")]
    assert [fault.reason for fault in faults(known)] == ["XID 79: it has fallen off the bus", "XID 999"]
    for second in range(100):
        see(known, look(xids=(48,)), now_s=100.0 + second)
    assert len(told(known)) == XIDS_MAX and told(known)[-1] == ("xid", "xid 48 199")


def test_uncorrected_errors_are_known_by_their_number_also_to_the_next_agent() -> None:
    known: Conditions = {}
    see(known, look(ecc=0))
    assert told(known) == []
    see(known, look(ecc=2))
    assert told(known) == [("ecc", "ecc 2")]
    another: Conditions = {}
    see(another, look(ecc=2))
    assert told(another) == told(known)


def test_rows_of_memory_that_wait_or_cannot_be_replaced() -> None:
    known: Conditions = {}
    see(known, look(remap_pending=True))
    assert told(known) == [("memory", "memory pending")]
    see(known, look(remap_pending=True, remap_failed=True))
    assert told(known) == [("memory", "memory failed")]
    see(known, look())
    assert told(known) == [], "after a reset"


def test_a_lost_gpu_is_lost_while_its_driver_says_so() -> None:
    known: Conditions = {}
    assert not see(known, look(lost=True))
    assert told(known) == [("lost", "lost")]
    assert see(known, look()) and told(known) == []


def test_a_driver_that_does_not_answer_once_is_no_fault() -> None:
    known: Conditions = {}
    for number in range(SILENT_LOOKS):
        assert told(known) == [], number
        assert not see(known, look(answers=False))
    assert told(known) == [("silent", "silent")]
    see(known, look())
    assert told(known) == []


def test_heat_counts_when_it_stays_and_is_over_when_it_stays_away() -> None:
    known: Conditions = {}
    hot, warm, cool = (look(temperature_c=each, slowdown_c=90.0) for each in (90.0, 86.0, 85.0))
    see(known, *[hot] * (HOT_LOOKS - 1), warm, *[hot] * (HOT_LOOKS - 1))
    assert told(known) == []
    see(known, hot)
    assert told(known) == [("hot", "hot")]
    see(known, *[cool] * (COOL_LOOKS - 1), warm)
    assert told(known) == [("hot", "hot")]
    see(known, *[cool] * COOL_LOOKS)
    assert told(known) == []
    see(known, *[look(temperature_c=99.0)] * 9)
    assert told(known) == [], "nobody knows at which temperature it slows down"


def test_a_process_of_nobody_keeps_it_from_being_free_and_is_told_in_time() -> None:
    known: Conditions = {}
    busy = look(pids=(71, 72), used_mib=9_000.0)
    assert see(known, busy), "its tasks' own processes"
    for second in (0.0, FREE_WITHIN_S - 0.1):
        assert not see(known, busy, now_s=second, wanted="a", strangers={72})
        assert told(known) == []
    assert not see(known, busy, now_s=FREE_WITHIN_S, wanted="a", strangers={72})
    assert told(known) == [("unclean", "unclean")]
    assert faults(known)[0].reason == "process 72 is on it and belongs to no task"
    many = look(pids=(1, 2, 3, 4))
    assert not see(known, many, now_s=99.0, strangers={1, 2, 3, 4})
    assert faults(known)[0].reason == "process 1, 2, 3 … is on it and belongs to no task", (
        "nobody waits any more"
    )
    assert see(known, look(), now_s=100.0)
    assert told(known) == []


def test_time_counts_from_when_somebody_waits() -> None:
    known: Conditions = {}
    busy = look(pids=(72,))
    see(known, busy, now_s=0.0, wanted="a", strangers={72})
    see(known, busy, now_s=30.0, strangers={72})
    see(known, busy, now_s=FREE_WITHIN_S, wanted="a", strangers={72})
    assert told(known) == []


def test_memory_must_be_back_to_what_it_was_when_nothing_ran() -> None:
    known: Conditions = {}
    assert see(known, look(used_mib=600.0))
    assert see(known, look(used_mib=850.0))
    assert not see(known, look(used_mib=30_000.0), now_s=0.0, wanted="a")
    assert not see(known, look(used_mib=30_000.0), now_s=FREE_WITHIN_S, wanted="a")
    assert faults(known)[0].reason == "29.3 GiB of its memory are in use, and no process has them"
    assert see(known, look(used_mib=700.0))


def test_an_agent_that_comes_to_a_gpu_in_use_does_not_take_that_for_idle() -> None:
    known: Conditions = {}
    assert not see(known, look(used_mib=30_000.0))
    assert see(known, look(used_mib=4_000.0)), "a twentieth may be the driver's own"
    assert not see(known, look(used_mib=4_300.0))


@given(
    st.lists(
        st.builds(
            Look,
            uuid=st.sampled_from("ab"),
            lost=st.booleans(),
            answers=st.booleans(),
            used_mib=st.floats(0, 1e5),
            pids=st.sampled_from([(), (1,), (1, 2)]),
            xids=st.sampled_from([(), (79,), (13,)]),
            ecc=st.none() | st.integers(0, 3),
            temperature_c=st.none() | st.floats(0, 120),
            slowdown_c=st.none() | st.just(90.0),
        ),
        max_size=30,
    )
)
def test_whatever_is_seen_free_is_there_and_has_no_stranger(looks: list[Look]) -> None:
    known: Conditions = {}
    for number, each in enumerate(looks):
        free = judge(known, [each], strangers={2}, wanted={"a"}, now_s=number * 10.0)
        assert free <= {each.uuid}
        assert not free or (each.answers and not each.lost and 2 not in each.pids)
        marks = [(fault.uuid, fault.mark) for fault in faults(known) if fault.kind != "xid"]
        assert len(marks) == len(set(marks))


# the ledger


def order(index: int = 0, fence: int = 1, *gpus: str, **changes: Any) -> Order:
    settings = TaskSettings(resources=Resources(100, 1, len(gpus)), **changes)
    return Order(
        attempt=AttemptRef(1, index, fence),
        work=Work(settings=settings, command=("x",)),
        gpus=gpus,
    )


def seen(ledger: Ledger, *orders: Order, free: str = "ab") -> list[effects.Effect]:
    refs = tuple(each.attempt for each in orders)
    return step(ledger, events.GpusSeen(attempts=refs, free=frozenset(free)), 5.0)


def assign(ledger: Ledger, *orders: Order) -> list[effects.Effect]:
    return step(ledger, events.Assigned(epoch=1, orders=orders), 0.0)


def handed(out: list[effects.Effect]) -> list[AttemptRef]:
    return [each.attempt for effect in out if isinstance(effect, effects.Hand) for each in effect.orders]


def test_a_task_with_gpus_starts_when_all_of_them_were_seen_to_be_free() -> None:
    ledger = Ledger()
    on_gpus, on_none = order(0, 1, "a", "b"), order(1)
    out = assign(ledger, on_gpus, on_none)
    assert handed(out) == [on_none.attempt]
    assert effects.LookAtGpus() in out
    assert set(ledger.live()) == {on_gpus.attempt, on_none.attempt}
    assert handed(seen(ledger, on_gpus, free="a")) == []
    assert handed(seen(ledger, on_gpus)) == [on_gpus.attempt]
    assert ledger.held[on_gpus.attempt].phase is Phase.HANDED
    assert seen(ledger, on_gpus, order(9, 1, "a")) == []


def test_one_that_waits_for_its_gpu_can_be_taken_back_ended_paused_and_outrun() -> None:
    ledger = Ledger()
    first, second, third = order(0, 1, "a"), order(1, 1, "a"), order(2, 1, "a")
    assign(ledger, first, second, third)
    step(ledger, events.RetractAsked(epoch=1, attempts=(first.attempt,)), 1.0)
    step(ledger, events.CancelAsked(epoch=1, attempts=(second.attempt,)), 1.0)
    ends = [event for _, event in ledger.outbox]
    assert isinstance(ends[0], Returned) and isinstance(ends[1], Ended)
    assert ends[1].outcome is Outcome.CANCELLED
    step(ledger, events.PauseAsked(epoch=1, attempts=(third.attempt,)), 1.0)
    out = seen(ledger, first, second, third)
    assert handed(out) == [third.attempt] and effects.Pause((third.attempt,)) in out
    older, newer = order(3, 1, "a"), order(3, 2, "a")
    assign(ledger, older)
    out = assign(ledger, newer)
    assert ledger.held.keys() & {older.attempt, newer.attempt} == {newer.attempt}
    assert effects.LookAtGpus() in out
    assert handed(seen(ledger, older, newer)) == [newer.attempt]


def test_what_else_it_waits_for_comes_first() -> None:
    ledger = Ledger()
    rank = order(0, 1, "a", gang=Gang(size=1))
    assign(ledger, rank)
    assert seen(ledger, rank) == []
    meeting = Meeting(address="10.0.0.1", port=4000, hosts=(("10.0.0.1", 1),))
    out = step(ledger, events.StartAsked(epoch=1, attempts=(rank.attempt,), meeting=meeting), 0.0)
    assert out == [effects.LookAtGpus()]
    assert handed(seen(ledger, rank)) == [rank.attempt]
