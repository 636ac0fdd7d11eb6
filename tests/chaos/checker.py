"""The judge: from the evidence of a run to what it broke. Pure, so that forged evidence can try it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from tests.chaos.causes import without_cause
from tests.chaos.evidence import AttemptRow, Evidence, JobRow, LedgerRow
from tests.chaos.marks import Life
from tests.chaos.plan import Fault
from tests.chaos.violation import Violation

TERMINAL = frozenset({"completed", "failed", "cancelled"})
OVER = TERMINAL | {"timeout"}
CLOCK_STEP_S = 0.02
"""Marks are stamped in hundredths of a second."""

WIPE_WINDOW_S = 30.0
"""What JetStream acknowledged so long before its data was destroyed may not have been taken yet: the
coordinator may have been away that long. What was acknowledged earlier must be there."""


def judge(evidence: Evidence) -> list[Violation]:
    """Of a run that is over: everything healed, nothing to do left."""
    return [
        *_accepted_is_kept(evidence),
        *_one_live_attempt(evidence),
        *_done_is_done(evidence),
        *without_cause(evidence),
        *unbalanced(evidence.ledgers),
        *_idle(evidence),
        *_learned(evidence),
        *(Violation(rule="log", what=text.splitlines()[0], evidence=tuple(text.splitlines()[1:]))
          for text in evidence.complaints),
        *(Violation(rule="leftover", what=text) for text in evidence.leftovers),
    ]  # fmt: skip


def unbalanced(ledgers: Sequence[LedgerRow]) -> Iterator[Violation]:
    """I4, at any instant."""
    for row in ledgers:
        if not row.allocated == row.active == row.held or not 0 <= row.allocated <= row.total:
            yield Violation(rule="I4 the books balance", what=f"{row.resource} of {row.node}: {row}")


def _learned(evidence: Evidence) -> Iterator[Violation]:
    """Through every takeover: what was asked for stands, and of each decision the experience is there."""
    found = evidence.learned
    if found is None:
        return
    if found.mode != "on":
        yield Violation(rule="learning goes on", what=f"nobody asked for the mode {found.mode}")
    if found.decisions != found.experiences:
        what = f"{found.experiences} experiences are written of {found.decisions} decisions"
        yield Violation(rule="learning goes on", what=what, evidence=(repr(found),))


def excused(evidence: Evidence) -> tuple[str, ...]:
    """Published jobs that went with JetStream's data: the one exception that the promise names."""
    known = {job.name for job in evidence.jobs}
    wipes = [blow for blow in evidence.blows if blow.fault == Fault.NATS_WIPED]
    return tuple(
        ack.name
        for ack in evidence.acks
        if not ack.number
        and ack.name not in known
        and any(blow.begin - WIPE_WINDOW_S <= ack.at <= blow.end for blow in wipes)
    )


def _accepted_is_kept(evidence: Evidence) -> Iterator[Violation]:
    rule = "I1 accepted is kept"
    by_name: dict[str, list[JobRow]] = defaultdict(list)
    for job in evidence.jobs:
        by_name[job.name].append(job)
    gone = set(excused(evidence))
    for ack in evidence.acks:
        jobs = by_name.get(ack.name, [])
        if not jobs and ack.name not in gone:
            yield Violation(
                rule=rule, what=f"{ack.name} was acknowledged and is not there", evidence=(repr(ack),)
            )
        if ack.number and jobs and ack.number not in {job.number for job in jobs}:
            yield Violation(
                rule=rule, what=f"{ack.name} has another number", evidence=(repr(ack), *map(repr, jobs))
            )
        for job in jobs:
            if job.state in TERMINAL and job.state not in ack.ends:
                told = [repr(task) for task in evidence.tasks if task.task.startswith(f"{job.number}.")]
                yield Violation(
                    rule=rule, what=f"{ack.name} ended as {job.state}", evidence=(repr(ack), repr(job), *told)
                )
    for name, jobs in by_name.items():
        if len(jobs) > 1:
            yield Violation(
                rule="I3 done is done",
                what=f"{name} became {len(jobs)} jobs",
                evidence=tuple(map(repr, jobs)),
            )
    live = {job.number for job in evidence.jobs if job.state not in TERMINAL}
    for number in sorted(live):
        told = [repr(task) for task in evidence.tasks if task.task.startswith(f"{number}.")]
        yield Violation(rule="I8 it converges", what=f"job {number} is not over", evidence=tuple(told))


def _one_live_attempt(evidence: Evidence) -> Iterator[Violation]:
    rule = "I2 one live attempt"
    idempotent = {str(job.number) for job in evidence.jobs if job.idempotent}
    known = {(row.task, row.fence) for row in evidence.attempts}
    for task, lives in _by_task(evidence.lives).items():
        lives.sort(key=lambda life: (life.fence, life.first_s))
        for before, after in pairwise(lives):
            if before.fence == after.fence:
                what = f"attempt {task}#{after.fence} was started twice"
            elif task.partition(".")[0] not in idempotent and after.first_s < before.last_s - CLOCK_STEP_S:
                what = f"{task} ran twice at once"
            else:
                continue
            yield Violation(rule=rule, what=what, evidence=(repr(before), repr(after)))
        for life in lives:
            if (task, life.fence) not in known:
                yield Violation(rule=rule, what=f"{task}#{life.fence} is in no book", evidence=(repr(life),))


def _done_is_done(evidence: Evidence) -> Iterator[Violation]:
    rule = "I3 done is done"
    attempts: dict[str, list[AttemptRow]] = defaultdict(list)
    for row in evidence.attempts:
        attempts[row.task].append(row)
    lives = _by_task(evidence.lives)
    for task in evidence.tasks:
        if task.state != "completed":
            continue
        mine, done = attempts[task.task], [row for row in attempts[task.task] if row.state == "completed"]
        told = (repr(task), *map(repr, mine), *map(repr, lives.get(task.task, ())))
        if len(done) != 1:
            yield Violation(rule=rule, what=f"{task.task} was completed {len(done)} times", evidence=told)
            continue
        if any(life.fence > done[0].fence for life in lives.get(task.task, ())):
            yield Violation(rule=rule, what=f"{task.task} ran again after it was done", evidence=told)
        if not any(life.fence == done[0].fence and life.ended for life in lives.get(task.task, ())):
            yield Violation(
                rule=rule, what=f"{task.task} is done, but its effect is not there", evidence=told
            )


def _idle(evidence: Evidence) -> Iterator[Violation]:
    """After the last task everybody agrees that there is nothing."""
    rule = "I8 it converges"
    for attempt in evidence.attempts:
        if attempt.state in ("assigned", "running"):
            yield Violation(rule=rule, what=f"attempt {attempt.task}#{attempt.fence} is not over")
    for row in evidence.ledgers:
        if row.allocated:
            yield Violation(rule="I4 the books balance", what=f"idle, but {row}")
    for node in evidence.nodes:
        busy = node.running or node.waiting or node.allocated_cpu_millis or node.running_rows
        # degraded is an opinion that takes some minutes to fade; it takes nothing from what is known
        if node.health == "unreachable" or busy:
            yield Violation(rule=rule, what=f"idle, but the leader shows {node}")
    for text in evidence.verified:
        yield Violation(rule=rule, what=f"corral verify: {text}")
    over = {job.number for job in evidence.jobs if job.state in TERMINAL}
    for task in evidence.tasks:
        if int(task.task.partition(".")[0]) in over and task.state not in OVER:
            yield Violation(rule=rule, what=f"its job is over, but {task}")


def _by_task(lives: Iterable[Life]) -> dict[str, list[Life]]:
    found: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        found[life.task].append(life)
    return found
