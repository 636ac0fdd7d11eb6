"""What drained nodes hold, for people: where each task would go, when, how late, or what keeps it."""

from __future__ import annotations

from bus.outlook import Displaced, Displacement
from bus.units import counted
from tui.view.amounts import NONE, duration
from tui.view.lines import Line
from tui.view.safe import safe_line
from tui.view.table import Column, render

REASONS_MAX = 3
"""Of a task that can go nowhere: the rest rules out fewer nodes."""

_COLUMNS = (
    Column("TASK"),
    Column("USER", flexible=True),
    Column("ON"),
    Column("STATE"),
    Column("GOES TO"),
    Column("STARTS", right=True),
    Column("LATER BY", right=True),
)


def sum_lines(total: Displacement, *, now_s: float) -> list[str]:
    """All of them in a line or two: who stays, who goes, who can go nowhere."""
    if not total.tasks:
        return ["it holds nothing"]
    said = []
    if total.stay:
        empty = "" if total.empty_at is None else f", the last in about {_until(total.empty_at, now_s=now_s)}"
        said.append(f"{counted(total.stay, 'task')} would end there{empty}")
    moved = total.go - total.nowhere
    if moved:
        delays = ""
        if total.delay_mean_s is not None and total.delay_most_s is not None:
            mean, most = duration(total.delay_mean_s), duration(total.delay_most_s)
            delays = f", later by {mean} on average, {most} at most"
        said.append(f"{counted(moved, 'task')} would go elsewhere{delays}")
    if total.nowhere:
        said.append(f"{counted(total.nowhere, 'task')} could go nowhere")
    if left := total.tasks - total.stay - total.go:
        said.append(f"{left:,} more: not looked at")
    return said


def task_lines(rows: list[Displaced], *, now_s: float, width: int | None = None) -> list[Line]:
    """A line a task under a head; below one that can go nowhere, what keeps it from that."""
    texts = render(_COLUMNS, [_row(row, now_s=now_s) for row in rows], width=width)
    lines = [Line(texts[0], "idle", " ")]
    for row, text in zip(rows, texts[1:], strict=True):
        if not row.goes:
            lines.append(Line(text, "", "·"))
        elif row.starts_at is not None:
            lines.append(Line(text, "warn" if row.running else "", "→"))
        else:
            lines.append(Line(text, "bad", "✖"))
            lines += (
                Line(
                    f"    {safe_line(each.message)}" + (f": {safe_line(each.remedy)}" if each.remedy else "")
                )
                for each in row.blockers[:REASONS_MAX]
            )
    return lines


def _row(row: Displaced, *, now_s: float) -> tuple[str, ...]:
    state = "runs" if row.running else "waits there"
    if not row.goes:
        end = NONE if row.ends_at is None else f"ends in {_until(row.ends_at, now_s=now_s)}"
        return (row.task, row.user, row.node, f"{state}, {end}", "stays", NONE, NONE)
    if row.starts_at is None or row.goes_to is None:
        where = "nowhere" if row.blockers else "unforeseen"
        return (row.task, row.user, row.node, state, where, NONE, NONE)
    starts = "now" if row.starts_at <= now_s else f"in {_until(row.starts_at, now_s=now_s)}"
    return (row.task, row.user, row.node, state, row.goes_to, starts, duration(row.delay_s))


def _until(at_s: float, *, now_s: float) -> str:
    return duration(at_s - now_s)
