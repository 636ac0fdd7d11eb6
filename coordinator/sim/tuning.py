"""Which order is best for a cluster, by replay of what it ran: the gate's work, in a process of its own.

`python -m coordinator tune` reads a `Tuning` as JSON from stdin. Each line of its stdout is a JSON object
with one key: `progress` (replays done, at most), `result` (`Tuned` or `Compared`) or `error`, the last.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.errors import Error
from coordinator.core.scheduler.gate import Evidence
from coordinator.core.scheduler.policies import POLICIES
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim.hindsight import Compared, compare
from coordinator.sim.judging import UnknownPolicy, check_known
from coordinator.sim.order_training import replays, train
from coordinator.sim.placement_training import ROUNDS
from coordinator.sim.placement_tuning import Placed, Places, place
from coordinator.sim.swf import Trace, TraceJob, read_swf
from coordinator.sim.trace_files import TraceError
from coordinator.sim.workload_model import model_jobs

NICE = 19
LENGTH_MAX, LENGTH_MIN = 1024, 48
"""Jobs of a window: as many as make twenty windows of the history, within these."""

OWN_MIN = 256
"""With fewer jobs of its own, a cluster is judged on the workload model in their place."""

MODEL_JOBS = 8_000


class Ran(Struct, frozen=True, array_like=True):
    """A task of the past that ran to its end. `nodes`: its share of a machine of `Tuning.nodes`."""

    submitted_s: float
    run_s: float
    requested_s: float
    user: str
    width: int
    nodes: int


class Tuning(Struct, frozen=True, kw_only=True):
    """`swf`: a trace instead of the history `jobs`; `policies`: only these; `places`: placements, too.

    `newest`: nothing is chosen, only so many of the last jobs replayed by each, who knows `table`.
    """

    jobs: tuple[Ran, ...] = ()
    swf: bytes = b""
    nodes: int = 1
    backfill: bool = True
    seed: int = 1
    policies: tuple[str, ...] = ()
    places: Places | None = None
    newest: int = 0
    table: QTable | None = None


class Tuned(Struct, frozen=True, kw_only=True):
    """`source`: history, swf or model. `costs`: of the finalists on the windows of the judgement."""

    source: str
    jobs: int
    policy: str
    static: str
    evidence: Evidence
    costs: dict[str, list[float]]
    table: QTable
    seconds: float
    placed: Placed | None = None


def tune() -> int:
    """Do as stdin says; returns the process's exit code."""
    os.nice(NICE)
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Tuning)
    try:
        _say("result", compared(settings) if settings.newest else judged(settings))
    except UnknownPolicy as error:
        known = f"some of {', '.join(error.known)}"
        _say("error", Error(code="E_VALUE", message=str(error), field="--policy", expected=known))
    except TraceError as error:
        _say("error", Error(code="E_TRACE", message=str(error), field="--swf"))
    else:
        return 0
    return 1


def judged(settings: Tuning) -> Tuned:
    """Raises TraceError, UnknownPolicy."""
    names = settings.policies or tuple(POLICIES)
    check_known(names, POLICIES)
    source, trace = _trace(settings)
    length = min(LENGTH_MAX, max(LENGTH_MIN, len(trace.jobs) // 20))
    places = settings.places
    done, most = count(1), replays(len(names)) + (ROUNDS if places else 0)

    def heard() -> None:
        _say("progress", (min(next(done), most), most))

    placed = place(places, seed=settings.seed, heard=heard) if places else None
    found = train(
        trace,
        (),
        length=length,
        backfill=settings.backfill,
        seed=settings.seed,
        heard=heard,
        names=names,
    )
    return Tuned(
        source=source,
        jobs=len(trace.jobs),
        policy=found.verdict.policy,
        static=found.verdict.static,
        evidence=found.verdict.evidence,
        costs=found.judged,
        table=found.table,
        seconds=found.seconds,
        placed=placed,
    )


def compared(settings: Tuning) -> Compared:
    """Raises UnknownPolicy."""
    check_known(settings.policies, POLICIES)
    done, most = count(1), len(settings.policies)
    return compare(
        own_jobs(settings.jobs),
        settings.newest,
        names=settings.policies,
        nodes=settings.nodes,
        backfill=settings.backfill,
        seed=settings.seed,
        table=settings.table,
        heard=lambda: _say("progress", (next(done), most)),
    )


def _trace(settings: Tuning) -> tuple[str, Trace]:
    if settings.swf:
        with tempfile.NamedTemporaryFile(suffix=".swf") as file:
            file.write(settings.swf)
            file.flush()
            try:
                return "swf", read_swf(Path(file.name))
            except TraceError as error:
                raise TraceError(str(error).replace(file.name, "the trace")) from None
    if len(settings.jobs) >= OWN_MIN:
        return "history", Trace("history", settings.nodes, tuple(own_jobs(settings.jobs)))
    seen = own_jobs(settings.jobs)
    return "model", Trace(
        "model", settings.nodes, model_jobs(MODEL_JOBS, settings.nodes, seen=seen, seed=settings.seed)
    )


def own_jobs(ran: tuple[Ran, ...]) -> list[TraceJob]:
    """History as a trace: whole seconds, users by number, in order of submission."""
    users: dict[str, int] = {}
    first_s = min((each.submitted_s for each in ran), default=0.0)
    return [
        TraceJob(
            id=place,
            submitted_s=round(each.submitted_s - first_s),
            run_s=max(round(each.run_s), 1),
            requested_s=max(round(each.requested_s), 1),
            processors=each.width,
            nodes=each.nodes,
            user=users.setdefault(each.user, len(users)),
        )
        for place, each in enumerate(sorted(ran, key=lambda each: each.submitted_s))
    ]


def _say(key: str, value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({key: value}) + b"\n")
    sys.stdout.buffer.flush()
