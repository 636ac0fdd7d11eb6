"""Questions and answers about the learning scheduler: what orders the tasks, and what was learned."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from bus.requests import Request


class SchedulerMode(Request):
    """off: a static rule orders tasks. shadow: a learned order decides too and is scored. on: it acts."""

    mode: Literal["off", "shadow", "on"]


class SchedulerTest(Request):
    """Replay orders on the cluster's own history, or on `swf`: a trace in that format, gzipped or not.

    `policies`: only these; none: all. `seed` makes it repeatable. One test runs at a time.
    """

    swf: bytes = b""
    seed: int = 1
    policies: list[str] = field(default_factory=list)


class SchedulerExport(Request):
    """`snapshot`: the number of one; 0: what is known now."""

    snapshot: int = 0


class SchedulerImport(Request):
    """`document`: what an export told, or the part `learner` of it."""

    document: bytes


class Test(Struct, kw_only=True):
    """A replay in pairs. `costs`: mean bounded slowdown of each policy on each window of the judgement.

    `policy` passed the gate on it ("": none did), `static` was the best rule; `adopts`: what passes will act.
    """

    by: str
    source: str  # "history", "swf" or "model": where its windows come from
    adopts: bool
    began_at: float
    ended_at: float | None = None
    done: int = 0
    total: int = 0
    jobs: int = 0
    policy: str = ""
    static: str = ""
    evidence: dict[str, Any] = {}
    costs: dict[str, list[float]] = {}
    error: str = ""


class Hour(Struct, kw_only=True):
    """The hour before `until` replayed once by each order: mean bounded slowdown of its newest `jobs`.

    With fewer jobs than `needed` there are no `costs`. `acts` ordered the tasks, `policy` is who passed the
    gate ("": none), `static` the best rule of the hour.
    """

    until: float
    jobs: int
    needed: int
    acts: str
    policy: str = ""
    static: str = ""
    costs: dict[str, float] = {}


class Snapshot(Struct, kw_only=True):
    """A row of ai_state. `learned`: how many notes went into it; `digest`: SHA-256 of all that is known."""

    number: int
    at: float
    reason: str
    mode: str
    policy: str
    learned: int
    digest: str
    epsilon: float
    reward_avg: float | None = None


class Forecasts(Struct, kw_only=True):
    """How true forecasts of starts came: of `told` that came out `right` were within their intervals.

    The same of the `newest`, whose middle interval is `width` of the foretold waiting time; `open` ones have
    not come out yet. `share` should be right.
    """

    told: int = 0
    right: int = 0
    newest: int = 0
    newest_right: int = 0
    width: float = 0.0
    open: int = 0
    share: float = 0.8


class Scheduler(Struct, kw_only=True):
    """`policy` passed the gate ("": none), `order` is the static rule, `acts` who orders as things are.

    `rank`: which rule of nodes is in force; `epsilon`: how often a learned one tries another nearly as good.
    `shadow`: mean log of what `policy` would have cost over what acted, by replay; below zero it is better.
    `audit`: of what was just changed, where the question changed anything.
    """

    mode: str
    policy: str
    order: str
    acts: str
    epsilon: float
    reward_window: int
    rank: str = ""
    reward_avg: float | None = None
    decisions: int = 0
    learned: int = 0
    digest: str = ""
    queue: int = 0
    shadow: float | None = None
    evidence: dict[str, Any] = {}
    next_test_s: float | None = None
    test: Test | None = None  # the one that runs, else the last
    hour: Hour | None = None  # None: not replayed yet
    snapshots: list[Snapshot] = []
    forecasts: Forecasts | None = None
    audit: str = ""
    unknown: list[str] = []  # of the past: what nobody keeps; rules are told as they are now


class Exported(Struct, kw_only=True):
    """`document` is JSON."""

    document: bytes
