"""Each thing that goes wrong for a task is excused by its own blow, and by no other."""

from __future__ import annotations

import pytest

from tests.chaos.causes import (
    FELL_SILENT,
    GUARD_DIED,
    LEASE_RAN_OUT,
    POISON,
    RETURNS_MAX,
    repeated,
    without_cause,
)
from tests.chaos.evidence import Ack, AttemptRow, Blow, Evidence, JobRow, Quarantine, TaskRow
from tests.chaos.marks import Life
from tests.chaos.plan import EVERYBODY, Fault


def lost(fence: int = 1, *, message: str = GUARD_DIED, node: str = "n1", at: float = 100.0) -> AttemptRow:
    return AttemptRow(
        task="1.0", fence=fence, state="lost", node=node, holding=False, message=message, ended_at=at
    )


def blow(fault: Fault, *, struck: str = "n1", begin: float = 90.0, end: float = 95.0) -> Blow:
    return Blow(fault=str(fault), struck=struck, begin=begin, end=end)


def rules(evidence: Evidence) -> list[str]:
    return [violation.rule for violation in without_cause(evidence)]


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (GUARD_DIED, blow(Fault.GUARD_KILL)),
        (GUARD_DIED, blow(Fault.ALL_KILL, struck=EVERYBODY)),
        (FELL_SILENT, blow(Fault.AGENT_PARTITION)),
        (FELL_SILENT, blow(Fault.AGENT_ZOMBIE, end=110.0)),
    ],
)
def test_a_loss_has_its_blow(message: str, cause: Blow) -> None:
    assert not rules(Evidence(attempts=(lost(message=message),), blows=(cause,)))


@pytest.mark.parametrize(
    ("message", "other"),
    [
        (GUARD_DIED, blow(Fault.AGENT_PARTITION)),
        (GUARD_DIED, blow(Fault.GUARD_KILL, struck="n2")),
        (GUARD_DIED, blow(Fault.GUARD_KILL, begin=101.0, end=101.0)),
        (GUARD_DIED, blow(Fault.GUARD_KILL, begin=10.0, end=11.0)),
        (FELL_SILENT, blow(Fault.LEADER_NO_BUS, struck="a")),
        ("not started within 30 s", blow(Fault.GUARD_KILL)),
    ],
)
def test_a_loss_without_its_blow_is_found(message: str, other: Blow) -> None:
    assert rules(Evidence(attempts=(lost(message=message),), blows=(other,))) == ["I7 lost to nothing"]


def test_a_lease_runs_out_by_the_outage_of_others() -> None:
    assert not rules(Evidence(attempts=(lost(message=LEASE_RAN_OUT),)))


def twice(*blows: Blow) -> Evidence:
    """The first end at 100, by a clock that started at 60."""
    lives = tuple(
        Life(task="1.0", fence=fence, pid=fence, node="n1", first_s=at, last_s=at + 1, ended=True)
        for fence, at in ((1, 39.0), (2, 80.0))
    )
    rows = (lost(message=LEASE_RAN_OUT, at=115.0),)
    return Evidence(lives=lives, attempts=rows, blows=blows, booted_at=60.0)


def test_an_end_is_unheard_only_where_its_node_was_struck() -> None:
    assert repeated(twice()) == ("1.0",)
    assert not rules(twice(blow(Fault.AGENT_PARTITION, end=118.0)))
    assert not rules(twice(blow(Fault.AGENT_AND_GUARD_KILL, begin=100.5, end=102.0)))
    for other in (
        blow(Fault.AGENT_PARTITION, begin=50.0, end=80.0),
        blow(Fault.AGENT_AND_GUARD_KILL, begin=102.0, end=104.0),
        blow(Fault.AGENT_PARTITION, struck="n2", end=118.0),
        blow(Fault.NATS_KILL, struck="nats", end=118.0),
    ):
        assert rules(twice(other)) == ["I3 done is done"]


def failed(message: str, *, why: str, attempts: tuple[AttemptRow, ...] = ()) -> Evidence:
    return Evidence(
        acks=(Ack(name="j", at=1.0, number=1, ends=("failed",), why=why),),
        jobs=(JobRow(number=1, name="j", state="failed", reason="", idempotent=False),),
        tasks=(TaskRow(task="1.0", state="failed", fence=1, message=message),),
        attempts=attempts,
        blows=tuple(blow(Fault.GUARD_KILL, struck=f"n{n}") for n in (1, 2, 3)),
    )


def test_a_job_fails_for_its_own_reason() -> None:
    assert not rules(failed("exit code 3", why="exit code 3"))
    assert rules(failed("exit code 1", why="exit code 3")) == ["I1 accepted is kept"]
    message = "lost 3 times in a row, on n1, n2, n3: its guard died"
    three = tuple(lost(n, node=f"n{n}") for n in (1, 2, 3))
    assert not rules(failed(message, why=POISON, attempts=three))
    assert rules(failed(message, why=POISON, attempts=three[:2])) == ["I1 accepted is kept"]


def test_a_quarantine_needs_several_blows() -> None:
    seen = (Quarantine(node="n1", at=700.0, reason="it lost 3 tasks of 3 jobs within 10 minutes"),)
    three = tuple(blow(Fault.GUARD_KILL, begin=at, end=at) for at in (150.0, 300.0, 450.0))
    assert not rules(Evidence(quarantines=seen, blows=three))
    assert rules(Evidence(quarantines=seen, blows=three[1:])) == ["blame"]
    early = blow(Fault.GUARD_KILL, begin=50.0, end=50.0)
    assert rules(Evidence(quarantines=seen, blows=(early, *three[1:]))) == ["blame"]


def test_a_task_is_not_passed_to_and_fro() -> None:
    rows = [
        AttemptRow(task="1.0", fence=n, state="returned", node="n1", holding=False, message="", ended_at=1.0)
        for n in range(RETURNS_MAX + 1)
    ]
    assert rules(Evidence(attempts=tuple(rows))) == ["thrift"]
    assert not rules(Evidence(attempts=tuple(rows[1:])))
