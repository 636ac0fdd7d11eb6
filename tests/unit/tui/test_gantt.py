"""Lanes of attempts: no two bars overlap, each attempt is drawn once, and each gap has the cause it had."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bus.timeline import (
    NodeSpan,
    PlacedAttempt,
    PlannedStart,
    SpanKind,
    Stretch,
    Timeline,
    WaitingShape,
)
from bus.values import Resources
from tui.view.gantt import (
    LETTERS,
    Bar,
    Cause,
    Gap,
    Scale,
    Story,
    amounts,
    bar_text,
    bars_of,
    gap_text,
    rows_of,
    tick_step_s,
    ticks,
)
from tui.view.safe import text_width

SCALE = Scale(100.0, 200.0, 50)
SMALL, BIG = Resources(1_000, 64), Resources(8_000, 64)


def attempt(start: float, end: float | None, *, node: str = "n1", **other: object) -> PlacedAttempt:
    fields = {"resources": SMALL, "state": "completed", "task": "7.0", "started_at": start}
    return PlacedAttempt(node=node, start=start, end=end, **(fields | other))


@st.composite
def attempts(draw: st.DrawFn) -> list[PlacedAttempt]:
    made = []
    for _ in range(draw(st.integers(0, 40))):
        start = draw(st.floats(0.0, 300.0))
        end = draw(st.none() | st.floats(0.0, 300.0).map(lambda more, start=start: start + more))
        made.append(attempt(start, end, node=draw(st.sampled_from(["n1", "n2"]))))
    return made


@given(attempts(), st.integers(1, 120), st.floats(0.0, 400.0))
def test_no_two_bars_of_a_slot_overlap_and_each_attempt_is_one(
    made: list[PlacedAttempt], cells: int, now_s: float
) -> None:
    bars = bars_of(made, Scale(100.0, 200.0, cells), now_s=now_s)
    assert sorted(bar.attempt for bar in bars) == list(range(len(made)))
    taken: set[tuple[int, int]] = set()
    for bar in bars:
        mine = {(bar.slot, cell) for cell in range(bar.first, bar.end)}
        assert mine and not mine & taken
        assert 0 <= bar.first < bar.end <= cells
        taken |= mine
    used = {bar.slot for bar in bars}
    assert used == set(range(len(used))), "no slot is left out"
    deepest = max((sum(b.first <= c < b.end for b in bars) for c in range(cells)), default=0)
    assert len(used) == deepest, "no more slots than bars that lie above each other"


@given(attempts(), st.integers(1, 6))
def test_what_finds_no_lane_is_counted(made: list[PlacedAttempt], slots: int) -> None:
    story = Story(Timeline(since=100.0, until=200.0, attempts=made), now_s=250.0)
    rows = rows_of(story, ["n1", "n2"], SCALE, slots_most=slots)
    for node in ("n1", "n2"):
        own = [row for row in rows if row.node == node]
        shown = [bar.attempt for row in own for bar in row.bars]
        assert len(shown) == len(set(shown))
        assert len(shown) + sum(row.more for row in own) == len(story.of(node))
        assert [row.slot for row in own] == list(range(len(own))) and 1 <= len(own) <= slots


@given(attempts())
def test_a_gap_lies_where_no_bar_does(made: list[PlacedAttempt]) -> None:
    story = Story(Timeline(since=100.0, until=200.0, attempts=made), now_s=250.0)
    first = rows_of(story, ["n1"], SCALE, slots_most=100)
    busy = {cell for row in first for bar in row.bars for cell in range(bar.first, bar.end)}
    idle = [cell for gap in first[0].gaps for cell in range(gap.first, gap.end)]
    assert sorted(idle) == sorted(set(range(SCALE.cells)) - busy)


def told(**other: object) -> Timeline:
    fields = {"since": 100.0, "until": 200.0, "attempts": [], "capacity": {"n1": Resources(4_000, 1_024, 1)}}
    return Timeline(**(fields | other))


def waiting(resources: Resources, start: float = 100.0, end: float | None = 200.0) -> WaitingShape:
    return WaitingShape(resources=resources, stretches=[Stretch(start=start, end=end)])


def cause(timeline: Timeline, at: float = 150.0, *, now_s: float = 190.0) -> Cause:
    return Story(timeline, now_s=now_s).why("n1", at).cause


def test_each_cause_is_told_by_what_was_so_then() -> None:
    span = NodeSpan(node="n1", kind=SpanKind.DRAINED, start=140.0, end=160.0, message="by olga")
    assert cause(told(spans=[span])) is Cause.DRAINED
    assert Story(told(spans=[span]), now_s=190.0).why("n1", 150.0).detail == "by olga"
    assert cause(told(spans=[span]), 165.0) is Cause.NOTHING
    assert cause(told()) is Cause.NOTHING
    assert cause(told(needing=[Stretch(start=140.0)])) is Cause.NEEDS
    assert cause(told(brakes=[Stretch(start=140.0, message="most fell silent")])) is Cause.BRAKE
    assert cause(told(shapes=[waiting(BIG)])) is Cause.NO_FIT
    assert (
        Story(told(shapes=[waiting(BIG)]), now_s=190.0).why("n1", 150.0).detail == "wants 8 of 4 cores free"
    )
    assert cause(told(shapes=[waiting(SMALL)])) is Cause.UNKNOWN
    assert cause(told(shapes=[waiting(SMALL)], capacity={})) is Cause.UNKNOWN
    assert cause(told(shapes=[waiting(BIG, 100.0, 120.0)])) is Cause.NOTHING
    assert cause(told(shapes=[waiting(BIG)], all_shapes=False)) is Cause.UNKNOWN
    assert cause(told(all_shapes=False)) is Cause.UNKNOWN
    kept = NodeSpan(node="n1", kind=SpanKind.RESERVED, start=140.0, end=160.0, message="9.0")
    assert cause(told(spans=[kept], shapes=[waiting(SMALL)])) is Cause.RESERVED
    assert cause(told(spans=[kept])) is Cause.NOTHING
    assert cause(told(), 195.0) is Cause.AHEAD


def test_every_span_that_keeps_work_away_is_a_cause() -> None:
    for kind in SpanKind:
        if kind is not SpanKind.RESERVED:
            span = NodeSpan(node="n1", kind=kind, start=100.0)
            assert cause(told(spans=[span])) is Cause[kind.name]
    both = [NodeSpan(node="n1", kind=kind, start=100.0) for kind in (SpanKind.CORDONED, SpanKind.UNREACHABLE)]
    assert cause(told(spans=both)) is Cause.UNREACHABLE


def test_what_is_held_is_not_free_and_what_waits_at_a_node_holds_nothing() -> None:
    held = attempt(140.0, 160.0, resources=Resources(3_000, 24, 1))
    ahead = attempt(140.0, 160.0, waiting=True)
    story = Story(told(attempts=[held, ahead]), now_s=190.0)
    assert story.free("n1", 150.0) == Resources(1_000, 1_000)
    assert story.free("n1", 160.0) == Resources(4_000, 1_024, 1)
    assert story.free("gone", 150.0) is None


@given(st.sampled_from(list(Cause)), st.integers(1, 60))
def test_a_gap_takes_its_cells_exactly(why: Cause, width: int) -> None:
    text = gap_text(Gap(0, width, why))
    assert text_width(text) == width
    assert why is Cause.AHEAD or f" {why} " in text or LETTERS[why] in text


@given(attempts(), st.sampled_from(["completed", "running", "", "returned"]))
def test_a_bar_takes_its_cells_exactly_and_begins_with_its_glyph(
    made: list[PlacedAttempt], state: str
) -> None:
    for bar in bars_of(made, SCALE, now_s=250.0):
        made[bar.attempt].state = state
        assert text_width(bar_text(bar, made[bar.attempt], SCALE)) == bar.end - bar.first


def test_a_bar_says_its_task_and_when_it_began_to_run() -> None:
    late = attempt(100.0, 140.0, started_at=130.0)
    assert bar_text(Bar(0, 0, 20, 0), late, SCALE) == "✔7.0┄┄┄┄┄┄┄┄┄┄┄━━━━━"
    assert bar_text(Bar(0, 0, 3, 0), late, SCALE) == "✔┄┄"
    assert bar_text(Bar(0, 0, 4, 0), attempt(100.0, 108.0, state="", task=""), SCALE) == "■━━━"


def test_what_is_planned_lies_ahead_in_the_first_lane() -> None:
    planned = PlannedStart(node="n1", start=196.0, resources=SMALL, task="9.0")
    outside = PlannedStart(node="n1", start=999.0, resources=SMALL)
    rows = rows_of(Story(told(planned=[planned, outside]), now_s=190.0), ["n1"], SCALE, slots_most=4)
    assert [(row.node, row.slot, row.attempts, row.planned) for row in rows] == [
        ("n1", 0, (), ((48, planned),))
    ]
    assert rows[0].gaps == (Gap(0, 45, Cause.NOTHING), Gap(45, 50, Cause.AHEAD))


@given(st.floats(60.0, 3e6), st.integers(20, 300), st.sampled_from([0.0, 3_600.0, 19_800.0, -12_600.0]))
def test_the_axis_has_ticks_that_do_not_touch(span_s: float, cells: int, offset: float) -> None:
    scale = Scale(1_790_000_000.0, 1_790_000_000.0 + span_s, cells)
    found = ticks(scale, utc_offset_s=offset)
    assert all(0 <= cell < cells for cell, _ in found)
    assert all((at + offset) % tick_step_s(scale) == 0 for _, at in found)
    assert all(after - before >= 11 for (before, _), (after, _) in pairwise(found))


def test_amounts_are_said_in_words() -> None:
    assert amounts(Resources(2_000, 4_096, 1)) == "2 cores, 4 GiB, 1 GPU"
