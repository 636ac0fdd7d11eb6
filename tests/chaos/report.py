"""A run as a table for people and as one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from tests.bench.report import Machine, this_machine
from tests.chaos import causes, checker
from tests.chaos.evidence import Learned
from tests.chaos.plan import Stroke
from tests.chaos.recovery import FaultFigures, Recovery, Spread, by_fault, spread
from tests.chaos.run import Outcome
from tests.chaos.violation import Violation


class Report(Struct, frozen=True, kw_only=True):
    """The whole document."""

    seed: int
    minutes: float
    every_s: float
    machine: Machine
    faults: tuple[FaultFigures, ...]
    kinds: dict[str, int]  # of the workload
    acknowledged: int
    excused: tuple[str, ...]  # went with JetStream's data, as the promise says
    repeated: tuple[str, ...]  # ran to their end twice: nobody had heard of the first end
    jobs: int
    tasks: int
    attempts: int
    answers: Spread | None
    refusals: Spread | None  # "not now", and how long that took to say
    too_late: int  # pauses, resumes and requeues of what was over
    unanswered: int
    converged_s: float | None
    learned: Learned | None
    books_looked_at: int
    ended_alone: dict[str, list[int]]  # exit codes that no fault asked for
    lost: dict[str, int]  # attempts, by what the books say of them
    quarantined: dict[str, int]  # how often a node was, until the operator took it back
    strokes: tuple[Stroke, ...]
    recoveries: tuple[Recovery, ...]
    violations: tuple[Violation, ...]


def report(outcome: Outcome) -> Report:
    order, told, evidence = outcome.order, outcome.told, outcome.evidence
    return Report(
        seed=order.seed,
        minutes=order.length_s / 60,
        every_s=order.every_s,
        machine=this_machine(),
        faults=tuple(by_fault(outcome.recoveries)),
        kinds=outcome.kinds,
        acknowledged=len(told.acks),
        excused=checker.excused(evidence),
        repeated=causes.repeated(evidence),
        jobs=len(evidence.jobs),
        tasks=len(evidence.tasks),
        attempts=len(evidence.attempts),
        answers=spread(told.answered_s),
        refusals=spread(told.refused_s),
        too_late=told.too_late,
        unanswered=told.unanswered,
        converged_s=outcome.converged_s,
        learned=evidence.learned,
        books_looked_at=outcome.books_looked_at,
        ended_alone=outcome.ended_alone,
        lost=Counter(
            row.message or "its node fell silent" for row in evidence.attempts if row.state == "lost"
        ),
        quarantined=Counter(each.node for each in evidence.quarantines),
        strokes=outcome.strokes,
        recoveries=outcome.recoveries,
        violations=outcome.violations,
    )


def as_json(document: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def table(document: Report) -> Iterator[str]:
    """Line by line; times are p50 / p99 / max in seconds."""
    yield f"{'FAULT':<22} {'N':>3}  {'ANSWERED':>22}  {'PLACED':>22}  {'PLACED AFTER HEALING':>22}"
    for row in document.faults:
        cells = (_cell(row.answered), _cell(row.placed), _cell(row.after_healing))
        yield f"{row.fault:<22} {row.strokes:>3}  " + "  ".join(f"{cell:>22}" for cell in cells)
    mix = ", ".join(f"{kind} {count}" for kind, count in sorted(document.kinds.items()))
    yield f"workload: {mix}"
    yield (
        f"{document.acknowledged} acknowledgements, {document.jobs} jobs, {document.tasks} tasks,"
        f" {document.attempts} attempts; the books were looked at {document.books_looked_at} times"
    )
    yield (
        f"answers {_cell(document.answers)} s; refused for now {_cell(document.refusals)} s"
        f" ({document.refusals.count if document.refusals else 0}); no answer {document.unanswered} times,"
        f" too late {document.too_late} times"
    )
    if document.excused:
        yield f"went with JetStream's data: {', '.join(document.excused)}"
    if document.repeated:
        yield f"came to their end twice, the first time unheard: {', '.join(document.repeated)}"
    if document.ended_alone:
        yield "ended by themselves: " + ", ".join(
            f"{name} {codes}" for name, codes in sorted(document.ended_alone.items())
        )
    if document.lost:
        yield "attempts lost: " + ", ".join(f"{why} {count}" for why, count in sorted(document.lost.items()))
    if document.quarantined:
        yield "quarantined: " + ", ".join(f"{name} {times}" for name, times in document.quarantined.items())
    if document.learned:
        yield (
            f"tasks are ordered by {document.learned.acts}, after {document.learned.decisions} decisions;"
            f" {document.learned.ran_ahead} ran ahead of a reservation"
        )
    converged = "NOT" if document.converged_s is None else f"{document.converged_s:.1f} s"
    yield f"all jobs over after the last healing: {converged}"
    yield f"{len(document.violations)} violations in {document.minutes:g} minutes, seed {document.seed}"


def _cell(figures: Spread | None) -> str:
    if figures is None:
        return "–"
    return f"{figures.p50_s:.2f} / {figures.p99_s:.2f} / {figures.max_s:.2f}"
