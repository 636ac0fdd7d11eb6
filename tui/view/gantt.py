"""Attempts as bars in lanes, and why nothing ran where nothing did.

Bars are laid out in cells of the screen: of those of a node, each takes the first slot that is free from
its first cell on, earliest first (which needs the fewest slots: interval partitioning). A bar is one cell
at least.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import cached_property, lru_cache, partial

from msgspec import Struct

from bus.timeline import PlacedAttempt, PlannedStart, SpanKind, Stretch, Timeline
from bus.units import format_cpu_millis, format_gpu_millis, format_size_mib
from bus.values import Resources


class Scale(Struct, frozen=True):
    """The instants `since` to `until` as `cells` cells of a line."""

    since: float
    until: float
    cells: int

    @property
    def cell_s(self) -> float:
        return (self.until - self.since) / max(1, self.cells)

    def cell(self, at: float) -> int:
        """The one that holds an instant; before the first or behind the last one it may be outside."""
        return int((at - self.since) // self.cell_s)

    def middle(self, cell: int) -> float:
        """The instant in the middle of a cell."""
        return self.since + (cell + 0.5) * self.cell_s


class Bar(Struct, frozen=True):
    """Cells [first, end) of a lane; `attempt` is a position in the timeline's list."""

    slot: int
    first: int
    end: int
    attempt: int


def bars_of(attempts: Sequence[PlacedAttempt], scale: Scale, *, now_s: float) -> list[Bar]:
    """The bars of one node's attempts: no two of a slot share a cell, and each attempt is one bar."""
    spans = sorted((*_cells(each, scale, now_s=now_s), place) for place, each in enumerate(attempts))
    free_from: list[int] = []
    bars = []
    for first, end, place in spans:
        slot = next((number for number, free in enumerate(free_from) if free <= first), len(free_from))
        free_from[slot : slot + 1] = [end]
        bars.append(Bar(slot, first, end, place))
    return bars


def _cells(attempt: PlacedAttempt, scale: Scale, *, now_s: float) -> tuple[int, int]:
    over = attempt.end if attempt.end is not None else max(now_s, attempt.start)
    last = max(0, scale.cells - 1)
    first = min(max(0, scale.cell(attempt.start)), last)
    return first, min(max(first, scale.cell(over)), last) + 1


class Cause(StrEnum):
    """Why a node had room and nothing ran in it."""

    ABSENT = "not there yet"
    UNREACHABLE = "unreachable"
    DEGRADED = "degraded"
    QUARANTINED = "quarantined"
    MAINTENANCE = "maintenance"
    DRAINED = "drained"
    DRAINING = "draining"
    CORDONED = "cordoned"
    BRAKE = "brake"
    RESERVED = "kept free"
    NOTHING = "nothing queued"
    NEEDS = "waits for data"
    NO_FIT = "does not fit"
    UNKNOWN = "unknown"
    AHEAD = "ahead"


LETTERS: dict[Cause, str] = {
    Cause.ABSENT: "a", Cause.UNREACHABLE: "x", Cause.DEGRADED: "g", Cause.QUARANTINED: "q",
    Cause.MAINTENANCE: "m", Cause.DRAINED: "d", Cause.DRAINING: "d", Cause.CORDONED: "c", Cause.BRAKE: "b",
    Cause.RESERVED: "k", Cause.NOTHING: "·", Cause.NEEDS: "w", Cause.NO_FIT: "f", Cause.UNKNOWN: "?",
    Cause.AHEAD: " ",
}  # fmt: skip
"""What stands in a gap that has no room for the words."""

_OF_SPANS = (
    SpanKind.ABSENT,
    SpanKind.UNREACHABLE,
    SpanKind.QUARANTINED,
    SpanKind.MAINTENANCE,
    SpanKind.DRAINED,
    SpanKind.DRAINING,
    SpanKind.CORDONED,
    SpanKind.DEGRADED,
)
"""What keeps a node from all work, what is worse to know first."""


class Why(Struct, frozen=True):
    """A cause with what is known of it."""

    cause: Cause
    detail: str = ""


class Story:
    """What a timeline tells of one instant on one node."""

    def __init__(self, timeline: Timeline, *, now_s: float) -> None:
        self.timeline = timeline
        self.now_s = now_s
        self._attempts: dict[str, list[PlacedAttempt]] = defaultdict(list)
        for attempt in timeline.attempts:
            self._attempts[attempt.node].append(attempt)
        self._spans = defaultdict(list)
        for span in timeline.spans:
            self._spans[span.node].append(span)
        self._shapes = [(shape.resources, _Times(shape.stretches)) for shape in timeline.shapes]
        self._needing = _Times(timeline.needing)
        self._brakes = _Times(timeline.brakes)
        self._waiting_at = lru_cache(4096)(self._waiting)

    def of(self, node: str) -> list[PlacedAttempt]:
        """The attempts of a node."""
        return self._attempts[node]

    def free(self, node: str, at: float) -> Resources | None:
        """What of the node nobody held then; None where nobody knows its size."""
        capacity = self.timeline.capacity.get(node)
        if capacity is None:
            return None
        for attempt in self._attempts[node]:
            if not attempt.waiting and attempt.start <= at < _over(attempt.end):
                capacity -= attempt.resources
        return capacity

    def why(self, node: str, at: float, *, in_words: bool = True) -> Why:
        """Why the room that the node had at that instant was left; without `in_words` the cause alone."""
        if at >= self.now_s:
            return Why(Cause.AHEAD)
        spans = {span.kind: span for span in self._spans[node] if span.start <= at < _over(span.end)}
        for kind in _OF_SPANS:
            if kind in spans:
                return Why(Cause[kind.name], spans[kind].message)
        waiting = self._waiting_at(at)
        if not waiting:
            return self._nothing(at)
        if SpanKind.RESERVED in spans:
            task = spans[SpanKind.RESERVED].message or "another user's task"
            return Why(Cause.RESERVED, f"for {task}: only who is over by then goes ahead")
        free = self.free(node, at)
        if free is None:
            return Why(Cause.UNKNOWN, "nobody knows how big the node was")
        if self.timeline.all_shapes and not any(each.fits(free) for each in waiting):
            return Why(Cause.NO_FIT, _lacking(waiting, free) if in_words else "")
        fitting = next((each for each in waiting if each.fits(free)), None)
        if fitting is None:
            return Why(Cause.UNKNOWN, "more kinds of work waited than are told")
        said = f"{amounts(fitting)} waited and would fit: its wishes or limits kept it away"
        return Why(Cause.UNKNOWN, said if in_words else "")

    def _nothing(self, at: float) -> Why:
        if not self.timeline.all_shapes:
            return Why(Cause.UNKNOWN, "more kinds of work waited than are told")
        if (brake := self._brakes.find(at)) is not None:
            return Why(Cause.BRAKE, brake.message)
        if self._needing.find(at) is not None:
            return Why(Cause.NEEDS, "all that waited needed what other tasks leave")
        return Why(Cause.NOTHING)

    def _waiting(self, at: float) -> tuple[Resources, ...]:
        return tuple(resources for resources, times in self._shapes if times.find(at) is not None)


class _Times:
    """Stretches that do not overlap, by time."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self._stretches = sorted(stretches, key=lambda each: each.start)
        self._starts = [each.start for each in self._stretches]

    def find(self, at: float) -> Stretch | None:
        place = bisect_right(self._starts, at) - 1
        if place < 0 or at >= _over(self._stretches[place].end):
            return None
        return self._stretches[place]


def _over(end: float | None) -> float:
    return float("inf") if end is None else end


def _lacking(waiting: Sequence[Resources], free: Resources) -> str:
    """Of what was nearest to fit: what it wanted more of than there was."""
    nearest = min(waiting, key=lambda each: len(each.lacking(free)))
    words = {
        "cpu_millis": (format_cpu_millis(nearest.cpu_millis), f"{format_cpu_millis(free.cpu_millis)} cores"),
        "mem_mib": (format_size_mib(nearest.mem_mib), format_size_mib(max(0, free.mem_mib))),
        "gpus": (format_gpu_millis(nearest.gpu_millis), f"{format_gpu_millis(free.gpu_millis)} GPUs"),
        "storage_mib": (
            format_size_mib(nearest.storage_mib),
            f"{format_size_mib(max(0, free.storage_mib))} disk",
        ),
        "net_mbps": (str(nearest.net_mbps), f"{free.net_mbps} Mbit/s"),
    }
    return ", ".join(f"wants {words[name][0]} of {words[name][1]} free" for name in nearest.lacking(free))


def amounts(resources: Resources) -> str:
    """ "2 cores, 4 GiB, 1 GPU"."""
    text = f"{format_cpu_millis(resources.cpu_millis)} cores, {format_size_mib(resources.mem_mib)}"
    return text + (f", {format_gpu_millis(resources.gpu_millis)} GPU" if resources.gpu_millis else "")


class Gap(Struct, frozen=True):
    """Cells [first, end) in which a node ran nothing at all, for one cause."""

    first: int
    end: int
    cause: Cause


class Row(Struct, frozen=True, dict=True):
    """One lane of one node. `attempts`: what the bars count in. `more`: attempts that found no lane.

    `find_gaps` looks at each cell that is free: only lanes that are seen are worth that.
    """

    node: str
    slot: int
    attempts: tuple[PlacedAttempt, ...]
    bars: tuple[Bar, ...] = ()
    find_gaps: Callable[[], tuple[Gap, ...]] = tuple
    planned: tuple[tuple[int, PlannedStart], ...] = ()
    more: int = 0

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """Where nothing runs on the node: in its first lane."""
        return self.find_gaps()


def rows_of(story: Story, nodes: Sequence[str], scale: Scale, *, slots_most: int) -> list[Row]:
    """The lanes of all nodes; gaps and what is planned lie in each one's first."""
    ahead: dict[str, list[tuple[int, PlannedStart]]] = defaultdict(list)
    for planned in story.timeline.planned:
        cell = scale.cell(planned.start)
        if 0 <= cell < scale.cells:
            ahead[planned.node].append((cell, planned))
    rows = []
    for node in nodes:
        attempts = tuple(story.of(node))
        bars = bars_of(attempts, scale, now_s=story.now_s)
        slots = max((bar.slot for bar in bars), default=0) + 1
        shown = min(slots, slots_most)
        hidden = sum(bar.slot >= shown for bar in bars)
        for slot in range(shown):
            rows.append(
                Row(
                    node,
                    slot,
                    attempts,
                    bars=tuple(bar for bar in bars if bar.slot == slot),
                    find_gaps=partial(gaps_of, story, node, bars, scale) if slot == 0 else tuple,
                    planned=tuple(ahead[node]) if slot == 0 else (),
                    more=hidden if slot == shown - 1 else 0,
                )
            )
    return rows


def gaps_of(story: Story, node: str, bars: Iterable[Bar], scale: Scale) -> tuple[Gap, ...]:
    """Where nothing runs; each cell by the cause in its middle."""
    busy = [False] * scale.cells
    for bar in bars:
        busy[bar.first : bar.end] = [True] * (bar.end - bar.first)
    gaps: list[Gap] = []
    for cell in range(scale.cells):
        if busy[cell]:
            continue
        cause = story.why(node, scale.middle(cell), in_words=False).cause
        if gaps and gaps[-1].end == cell and gaps[-1].cause is cause:
            gaps[-1] = Gap(gaps[-1].first, cell + 1, cause)
        else:
            gaps.append(Gap(cell, cell + 1, cause))
    return tuple(gaps)


def gap_text(gap: Gap) -> str:
    """The cause in so many cells: in words where there is room, else its letter, dots around it."""
    width = gap.end - gap.first
    if gap.cause is Cause.AHEAD:
        return " " * width
    word = f" {gap.cause} "
    inside = word if len(word) + 2 <= width else LETTERS[gap.cause]
    edge = "╎" if width > 2 else ""
    return edge + inside.center(width - len(edge), "·")


GLYPHS: dict[str, tuple[str, str]] = {
    "assigned": ("◔", "wait"),
    "running": ("▶", "busy"),
    "completed": ("✔", "ok"),
    "failed": ("✖", "bad"),
    "timeout": ("◷", "bad"),
    "cancelled": ("⊘", "idle"),
    "lost": ("⇄", "warn"),
    "preempted": ("⇄", "warn"),
    "returned": ("↻", "warn"),
}
OTHERS = ("■", "idle")
"""An attempt of somebody else, of which only that it was is told."""


def bar_text(bar: Bar, attempt: PlacedAttempt, scale: Scale) -> str:
    """Glyph, name, and a line: dotted while it was on its way, then drawn through."""
    width = bar.end - bar.first
    glyph = GLYPHS.get(attempt.state, OTHERS)[0]
    started = (
        bar.end
        if attempt.started_at is None
        else min(max(bar.first, scale.cell(attempt.started_at)), bar.end)
    )
    line = "┄" * (started - bar.first) + "━" * (bar.end - started)
    label = f"{glyph}{attempt.task}"
    head = label if len(label) < width else glyph
    return (head + line[len(head) :])[:width]


STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800, 2_592_000,
)  # fmt: skip
TICK_CELLS = 12


def tick_step_s(scale: Scale) -> float:
    """The finest step of the clock that leaves room for its labels."""
    return next((step for step in STEPS_S if step / scale.cell_s >= TICK_CELLS), STEPS_S[-1])


def ticks(scale: Scale, *, utc_offset_s: float) -> list[tuple[int, float]]:
    """(cell, instant) of the steps of the local clock."""
    step = tick_step_s(scale)
    at = ((scale.since + utc_offset_s) // step + 1) * step - utc_offset_s
    found = []
    while at < scale.until:
        found.append((scale.cell(at), at))
        at += step
    return found
