"""The judge is judged: sound evidence passes, and each kind of forgery is found, by its rule."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.chaos import causes, checker, marks
from tests.chaos.causes import GUARD_DIED
from tests.chaos.evidence import (
    Ack,
    AttemptRow,
    Blow,
    Evidence,
    JobRow,
    Learned,
    LedgerRow,
    NodeSeen,
    TaskRow,
    complaints,
)
from tests.chaos.marks import Life


def job(number: int = 1, **more: object) -> JobRow:
    fields = {"number": number, "name": f"j{number}", "state": "completed", "reason": "", "idempotent": False}
    return msgspec.convert(fields | more, JobRow)


def attempt(fence: int = 1, *, state: str = "completed", node: str = "n1", task: str = "1.0") -> AttemptRow:
    return AttemptRow(
        task=task, fence=fence, state=state, node=node, holding=False, message=GUARD_DIED, ended_at=103.0
    )


def life(fence: int = 1, *, at: tuple[float, float], ended: bool = True, pid: int = 7) -> Life:
    return Life(task="1.0", fence=fence, pid=pid, node="n1", first_s=at[0], last_s=at[1], ended=ended)


def ledger(allocated: int = 0, *, active: int = 0, held: int = 0) -> LedgerRow:
    return LedgerRow(node="n1", resource="cpu", total=2000, allocated=allocated, active=active, held=held)


IDLE = NodeSeen(name="n1", health="healthy", running=0, waiting=0, allocated_cpu_millis=0, running_rows=0)
DONE = TaskRow(task="1.0", state="completed", fence=2, message="")
WIPED = Blow(fault="nats_wiped", struck="nats", begin=50.0, end=51.0)
KILLED = Blow(fault="guard_kill", struck="n1", begin=102.5, end=102.6)
SOUND = Evidence(
    booted_at=100.0,
    blows=(KILLED,),
    acks=(Ack(name="j1", at=10.0, number=1),),
    jobs=(job(),),
    tasks=(DONE,),
    attempts=(attempt(1, state="lost"), attempt(2, node="n2")),
    ledgers=(ledger(),),
    learned=Learned(mode="on", acts="sjf", decisions=9, experiences=9),
    nodes=(IDLE,),
    lives=(life(1, at=(1.0, 3.0), ended=False), life(2, at=(3.5, 5.0))),
)


def replaced(**changes: object) -> Evidence:
    return msgspec.structs.replace(SOUND, **changes)


def test_sound_evidence_passes() -> None:
    assert checker.judge(SOUND) == []


FORGERIES: dict[str, tuple[str, Evidence]] = {
    "an acknowledged job is gone": (
        "I1",
        replaced(acks=(*SOUND.acks, Ack(name="j2", at=11.0, number=2))),
    ),
    "a published job is gone, and nothing was wiped": (
        "I1",
        replaced(acks=(*SOUND.acks, Ack(name="p1", at=11.0))),
    ),
    "a published job is gone that was acknowledged long before the wipe": (
        "I1",
        replaced(acks=(*SOUND.acks, Ack(name="p1", at=11.0)), blows=(KILLED, WIPED)),
    ),
    "a published job is gone that was acknowledged after the wipe": (
        "I1",
        replaced(acks=(*SOUND.acks, Ack(name="p1", at=52.0)), blows=(KILLED, WIPED)),
    ),
    "a requested job may not go with JetStream": (
        "I1",
        replaced(acks=(*SOUND.acks, Ack(name="j2", at=50.5, number=2)), blows=(KILLED, WIPED)),
    ),
    "the number that was answered is another's": ("I1", replaced(acks=(Ack(name="j1", at=10.0, number=9),))),
    "a job ends as it must not": ("I1", replaced(jobs=(job(state="failed"),))),
    "a job never ends": ("I8", replaced(jobs=(job(state="running"),))),
    "one submission became two jobs": ("I3", replaced(jobs=(job(), job(2, name="j1")))),
    "two attempts live at once": (
        "I2",
        replaced(lives=(life(1, at=(1.0, 3.6), ended=False), life(2, at=(3.5, 5.0)))),
    ),
    "an old attempt starts after the new one is done": (
        "I2",
        replaced(lives=(life(1, at=(6.0, 7.0), ended=False), life(2, at=(3.5, 5.0)))),
    ),
    "one attempt is started twice": (
        "I2",
        replaced(lives=(*SOUND.lives, life(2, at=(6.0, 7.0), ended=False, pid=8))),
    ),
    "something runs that is in no book": (
        "I2",
        replaced(attempts=(attempt(2, node="n2"),)),
    ),
    "it is completed twice": ("I3", replaced(attempts=(attempt(1), attempt(2, node="n2")))),
    "it runs again after it was done": (
        "I3",
        replaced(
            attempts=(*SOUND.attempts, attempt(3, state="lost")),
            lives=(*SOUND.lives, life(3, at=(6.0, 7.0), ended=False)),
        ),
    ),
    "it is done, and left no mark": ("I3", replaced(lives=SOUND.lives[:1])),
    "it is done, and never came to its end": (
        "I3",
        replaced(lives=(SOUND.lives[0], life(2, at=(3.5, 5.0), ended=False))),
    ),
    "an allocation was forgotten": ("I4", replaced(ledgers=(ledger(0, active=500, held=0),))),
    "a node is never given back": ("I4", replaced(ledgers=(ledger(500, active=500, held=500),))),
    "the leader still sees something run": (
        "I8",
        replaced(nodes=(msgspec.structs.replace(IDLE, running=1),)),
    ),
    "an experience is missing": (
        "learning",
        replaced(learned=Learned(mode="on", acts="sjf", decisions=9, experiences=8)),
    ),
    "learning was switched off": (
        "learning",
        replaced(learned=Learned(mode="shadow", acts="fcfs", decisions=9, experiences=9)),
    ),
    "the leader finds a fault in itself": (
        "I8",
        replaced(verified=("I4 n1: 500 of cpu are held by nobody",)),
    ),
    "a node stays away": ("I8", replaced(nodes=(msgspec.structs.replace(IDLE, health="unreachable"),))),
    "an attempt stays open": (
        "I8",
        replaced(attempts=(*SOUND.attempts, attempt(1, state="running", task="2.0"))),
    ),
    "a task outlives its job": (
        "I8",
        replaced(tasks=(DONE, TaskRow(task="1.1", state="queued", fence=0, message=""))),
    ),
    "a program complains": (
        "log",
        replaced(complaints=("a.log:3: Traceback (most recent call last):\n  x",)),
    ),
    "a process is left": ("leftover", replaced(leftovers=("4711 sleep 60",))),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found(name: str) -> None:
    rule, evidence = FORGERIES[name]
    found = checker.judge(evidence)
    assert any(violation.rule.startswith(rule) for violation in found), found


def test_what_went_with_jetstream_is_excused() -> None:
    """Only what was published, and only shortly before."""
    evidence = replaced(acks=(*SOUND.acks, Ack(name="p1", at=45.0)), blows=(KILLED, WIPED))
    assert checker.judge(evidence) == []
    assert checker.excused(evidence) == ("p1",)


def test_an_idempotent_task_may_run_twice_at_once() -> None:
    evidence = replaced(
        jobs=(job(idempotent=True),), lives=(life(1, at=(1.0, 6.0), ended=False), life(2, at=(3.5, 5.0)))
    )
    assert checker.judge(evidence) == []


def test_an_end_that_nobody_heard_of_is_counted() -> None:
    evidence = replaced(lives=(life(1, at=(1.0, 3.0)), life(2, at=(3.5, 5.0))))
    assert checker.judge(evidence) == []
    assert causes.repeated(evidence) == ("1.0",)


def test_books_are_judged_while_everything_runs() -> None:
    assert not list(checker.unbalanced([ledger(500, active=500, held=500)]))
    for wrong in (ledger(500, active=500), ledger(500, held=500), ledger(3000, active=3000, held=3000)):
        assert len(list(checker.unbalanced([wrong]))) == 1


def test_marks_become_lives() -> None:
    lines = ["start 1 10 5.00 n1", "beat 1 10 5.20 n1", "start 2 11 9.00 n2", "end 2 11 9.40 n2"]
    first, second = marks.parse("1.0", lines)
    assert (first.first_s, first.last_s, first.ended) == (5.0, 5.2, False)
    assert (second.fence, second.node, second.ended) == (2, "n2", True)


def test_a_failing_end_is_no_effect() -> None:
    (only,) = marks.parse("1.0", ["start 1 10 5.00 n1", "fail 1 10 5.20 n1"])
    assert not only.ended


def test_logs_are_read(tmp_path: Path) -> None:
    again = "Traceback (most recent call last):\n  File x\nKeyError: 1\n"
    (tmp_path / "a.log").write_text(f"2026-11-22 INFO fine\n{again}2026-11-22 INFO on\n{again}")
    (tmp_path / "b.log").write_text("2026-11-22 WARNING leadership not renewed\n")
    (found,) = complaints(tmp_path.glob("*.log"))
    assert found.splitlines() == [
        "a.log:2: Traceback (most recent call last):", "  File x", "KeyError: 1", "and 1 times more"
    ]  # fmt: skip
