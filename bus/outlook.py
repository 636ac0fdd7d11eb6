"""Answers about why and what if: what keeps tasks waiting, where they would go, when they will start."""

from __future__ import annotations

from msgspec import Struct

from bus.values import Resources


class Blocker(Struct, kw_only=True):
    """One thing that keeps a task from starting, and what would remove it."""

    code: str  # a stable word: "busy:cpu_millis", "label:zone", "needs", "held", "array_limit", …
    message: str
    nodes: int = 0  # how many nodes it rules out; 0: it is not about nodes
    remedy: str = ""


class Candidate(Struct, kw_only=True):
    """One node as the scheduler saw it. `obstacles` empty: feasible, with its score (smaller is better).

    `features`: what a learned score was made of.
    """

    node: str
    score: float | None = None
    features: dict[str, float] = {}
    obstacles: list[str] = []
    chosen: bool = False


class Forecast(Struct, kw_only=True):
    """When something will start: the middle, and between which instants with the probability of `share`.

    `told` and `right`: of how many forecasts that came out so far how many were right.
    """

    starts_at: float
    earliest_at: float
    latest_at: float
    ends_at: float | None = None
    share: float = 0.8
    told: int = 0
    right: int = 0


class Effect(Struct, kw_only=True):
    """What a change would do to the tasks that wait: means over them, of their waiting from now on.

    `earlier`, `later`: how many would start so much sooner or later that anybody would notice. `stuck`: how
    many would never start as things stand; the means leave them out.
    """

    tasks: int
    wait_before_s: float
    wait_after_s: float
    slowdown_before: float
    slowdown_after: float
    earlier: int = 0
    later: int = 0
    stuck_before: int = 0
    stuck_after: int = 0


class Affected(Struct, kw_only=True):
    """A waiting job under a change; None: it would not start as things stand."""

    job: int
    user: str
    tasks: int
    starts_before: float | None = None
    starts_after: float | None = None
    slowdown_before: float | None = None
    slowdown_after: float | None = None


class Displaced(Struct, kw_only=True):
    """A task that a node holds which would be drained. `goes`: it has to leave, else it is over there before.

    `ends_at`: when it would be over where it is; None: it has not started. `goes_to`, `starts_at`: where and
    when it would go on; None: nowhere, for `blockers`, or without any not as far as can be foreseen.
    `delay_s`: by how much later it would be over, or start if it has not; what ran begins anew.
    """

    task: str
    user: str
    node: str
    running: bool
    goes: bool
    ends_at: float | None = None
    goes_to: str | None = None
    starts_at: float | None = None
    delay_s: float | None = None
    blockers: list[Blocker] = []


class Displacement(Struct, kw_only=True):
    """All `tasks` that drained nodes hold: `stay` to their end, `go`, of which `nowhere` could go on.

    Delays are of those that go somewhere. `empty_at`: when the last that stays would be over.
    """

    tasks: int
    stay: int = 0
    go: int = 0
    nowhere: int = 0
    delay_mean_s: float | None = None
    delay_most_s: float | None = None
    empty_at: float | None = None


class Outlook(Struct, kw_only=True):
    """What would become of what waits. `jobs`: the most affected of those that one may see.

    `forecast`: of the job that was asked about too. `displacement`, `displaced`: what drained nodes hold, all
    of it and the tasks that one may see.
    """

    change: str
    effect: Effect
    jobs: list[Affected] = []
    forecast: Forecast | None = None
    displacement: Displacement | None = None
    displaced: list[Displaced] = []


class Backfilled(Struct, kw_only=True):
    """It ran ahead of the task `behind`, for which room was reserved, without delaying that."""

    behind: str
    node: str | None = None
    reserved_at: float | None = None
    until_at: float | None = None


class PlannedGroup(Struct, kw_only=True):
    """Tasks of a plan that are alike: `first` to `first + count - 1`."""

    name: str
    first: int
    count: int
    command: list[str] = []
    tool: str | None = None
    needs: list[str] = []
    limit: int = 0
    resources: Resources
    ranks: int = 0  # of a gang: then `now` counts ranks
    now: dict[str, int] = {}  # node -> how many tasks would start there at once
    waits: int = 0
    blockers: list[Blocker] = []
    candidates: list[Candidate] = []
    cancelled: int = 0  # at once: what they run after, each after its own, did not complete


class Plan(Struct, kw_only=True):
    """What a job would become if it were submitted now; nothing is kept."""

    name: str
    tasks: int
    starts_now: int
    groups: list[PlannedGroup]
    forecast: Forecast | None = None  # of its first task's start, and of its last one's end
    effect: Effect | None = None  # on what waits already
