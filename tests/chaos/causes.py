"""Whether what went wrong for a task was the chaos's doing. Pure, like the judge whose part it is.

A cluster that loses work which nobody struck is not reliable, however well it recovers: each loss, each end
that nobody heard of, each quarantine and each failure needs its blow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from tests.chaos.evidence import AttemptRow, Blow, Evidence, TaskRow
from tests.chaos.plan import EVERYBODY, Fault
from tests.chaos.violation import Violation

GUARD_DIED = "its guard died, or the node restarted"
LEASE_RAN_OUT = "its lease ran out on the node"
FELL_SILENT = ""

_KILLS_GUARD = frozenset({Fault.GUARD_KILL, Fault.AGENT_AND_GUARD_KILL, Fault.ALL_KILL})
_SILENCES = frozenset(
    {
        Fault.AGENT_KILL,
        Fault.AGENT_STOP,
        Fault.AGENT_ZOMBIE,
        Fault.AGENT_PARTITION,
        Fault.AGENT_AND_GUARD_KILL,
        Fault.ALL_KILL,
    }
)
_COSTS_WORK = _KILLS_GUARD | _SILENCES

HEARD_S = 60.0
"""A loss is written so long after its blow at most: the leader may be away itself, and its database."""

MARGIN_S = 1.0
"""Between a task's last mark and its end in the guard's journal; what is there, no blow takes away."""

ORPHANED_S = 15.0
"""What a dead guard left runs until another one stands, for which its agent has to start first."""

QUARANTINE_WINDOW_S = 600.0
LOSSES_MIN = 3
"""Incidents within that time without which a node is not quarantined."""

POISON_NODES = 3
POISON_LOSSES = 5
RETURNS_MAX = 8
"""Times that a task may be given back untouched. More is a node and a leader that pass it to and fro."""


def without_cause(evidence: Evidence) -> Iterator[Violation]:
    """All that cannot be laid at a blow's door."""
    yield from _losses(evidence)
    yield from _unheard(evidence)
    yield from _failures(evidence)
    yield from _quarantines(evidence)
    yield from _returns(evidence)


def _losses(evidence: Evidence) -> Iterator[Violation]:
    """Leases that ran out on the node are left out: an outage of all the others makes that, too."""
    for attempt in evidence.attempts:
        if attempt.state != "lost" or attempt.message == LEASE_RAN_OUT:
            continue
        kinds = {GUARD_DIED: _KILLS_GUARD, FELL_SILENT: _SILENCES}.get(attempt.message, frozenset())
        blows = _on(evidence.blows, attempt.node, kinds)
        if not any(blow.begin <= attempt.ended_at <= blow.end + HEARD_S for blow in blows):
            yield Violation(
                rule="I7 lost to nothing",
                what=f"{attempt.task}#{attempt.fence} was lost, and its node had not been struck",
                evidence=(repr(attempt), *map(repr, blows)),
            )


def _unheard(evidence: Evidence) -> Iterator[Violation]:
    """A task came to its end, and was run again: somebody must have kept that end from being heard."""
    rows = {(row.task, row.fence): row for row in evidence.attempts}
    again = set(repeated(evidence))
    for life in evidence.lives:
        row = rows.get((life.task, life.fence))
        if life.task not in again or not life.ended or row is None or row.state != "lost":
            continue
        at = evidence.booted_at + life.last_s
        blows = _on(evidence.blows, life.node, _COSTS_WORK)
        if not any(blow.begin - MARGIN_S <= at <= blow.end + ORPHANED_S for blow in blows):
            yield Violation(
                rule="I3 done is done",
                what=f"{life.task}#{life.fence} came to its end at {at:.2f}; it was heard of by nobody",
                evidence=(repr(life), repr(row), *map(repr, blows)),
            )


def _failures(evidence: Evidence) -> Iterator[Violation]:
    """A job that may fail must fail for its own reason."""
    numbers = {job.name: job.number for job in evidence.jobs if job.state == "failed"}
    tasks: dict[int, list[TaskRow]] = defaultdict(list)
    for task in evidence.tasks:
        if task.state in ("failed", "timeout"):
            tasks[int(task.task.partition(".")[0])].append(task)
    attempts: dict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in evidence.attempts:
        attempts[attempt.task].append(attempt)
    for ack in evidence.acks:
        for task in tasks[numbers[ack.name]] if ack.name in numbers else ():
            mine = attempts[task.task]
            if not task.message.startswith(ack.why) or (ack.why == POISON and not _is_poison(mine)):
                yield Violation(
                    rule="I1 accepted is kept",
                    what=f"{ack.name} failed for another reason than {ack.why!r}",
                    evidence=(repr(task), *map(repr, mine)),
                )


POISON = "lost "
"""How the message of a task begins that failed because it was lost too often."""


def _is_poison(attempts: Iterable[AttemptRow]) -> bool:
    lost = [attempt.node for attempt in attempts if attempt.state == "lost"]
    return len(lost) >= POISON_LOSSES or len(set(lost)) >= POISON_NODES


def _quarantines(evidence: Evidence) -> Iterator[Violation]:
    for quarantine in evidence.quarantines:
        since = quarantine.at - QUARANTINE_WINDOW_S
        blows = [
            blow
            for blow in _on(evidence.blows, quarantine.node, _COSTS_WORK)
            if blow.end >= since and blow.begin <= quarantine.at
        ]
        if len(blows) < LOSSES_MIN:
            yield Violation(
                rule="blame",
                what=f"{quarantine.node} was quarantined after {len(blows)} blows: {quarantine.reason}",
                evidence=tuple(map(repr, blows)),
            )


def _returns(evidence: Evidence) -> Iterator[Violation]:
    counts = Counter(row.task for row in evidence.attempts if row.state == "returned")
    for task, count in counts.items():
        if count > RETURNS_MAX:
            yield Violation(rule="thrift", what=f"{task} was given out and given back {count} times")


def repeated(evidence: Evidence) -> tuple[str, ...]:
    """Tasks that came to their end more than once, because word of the first end was lost.

    No violation where a blow explains it: nobody had been told of that end. The report counts them.
    """
    ends = Counter(life.task for life in evidence.lives if life.ended)
    return tuple(task for task, count in ends.items() if count > 1)


def _on(blows: Iterable[Blow], node: str, kinds: Iterable[str]) -> list[Blow]:
    return [blow for blow in blows if blow.fault in kinds and blow.struck in (node, EVERYBODY)]
