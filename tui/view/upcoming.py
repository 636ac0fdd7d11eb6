"""What would start next, as a table: in which interval, on which node, and how true such forecasts came."""

from __future__ import annotations

from bus.units import counted
from bus.upcoming import Turn, Upcoming
from tui.view.amounts import NONE, duration
from tui.view.table import Column, render

_COLUMNS = (
    Column("STARTS", right=True),
    Column("BETWEEN"),
    Column("TASK"),
    Column("USER", flexible=True),
    Column("TASKS", right=True),
    Column("NODE"),
)


def upcoming_lines(upcoming: Upcoming, *, now_s: float, width: int | None = None) -> list[str]:
    """Who orders the tasks, how good forecasts are, and the turns."""
    waits = counted(upcoming.tasks, "task")
    lines = [f"{upcoming.order} orders {waits} in line; intervals are meant to hold {upcoming.share:.0%}"]
    if upcoming.told:
        share = upcoming.right / upcoming.told
        lines.append(f"{upcoming.right:,} of {upcoming.told:,} forecasts so far were right ({share:.0%})")
    if upcoming.turns:
        lines += ["", *render(_COLUMNS, [_row(turn, now_s=now_s) for turn in upcoming.turns], width=width)]
    elif not upcoming.tasks:
        lines += ["", "nothing waits that could be placed"]
    if upcoming.hidden:
        lines += ["", f"and {upcoming.hidden:,} of others among them"]
    return lines


def _row(turn: Turn, *, now_s: float) -> tuple[str, ...]:
    starts, between = "unforeseen", NONE
    if turn.starts_at is not None and turn.earliest_at is not None and turn.latest_at is not None:
        if turn.latest_at <= now_s:
            starts = "now"
        else:
            starts = f"in {duration(turn.starts_at - now_s)}"
            between = f"{duration(turn.earliest_at - now_s)} to {duration(turn.latest_at - now_s)}"
    return (starts, between, turn.task, turn.user, f"{turn.tasks:,}", turn.node or NONE)
