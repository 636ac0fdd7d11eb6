"""The cluster in a few lines: what is used, what waits, and how that went since one looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.values import JobState, NodeHealth, TaskState
from tui.view.amounts import NONE, count, share
from tui.view.safe import fit, safe_line
from tui.view.series import exact
from tui.view.states import JOB_BADGES, NODE_BADGES, TASK_BADGES

if TYPE_CHECKING:
    from bus.api import Cluster


Part = tuple[str, str]
"""A text and its tone."""

LABEL_CELLS = 8
USER_CELLS = 20
USED_CELLS_MIN = 30
BAR_CELLS_MAX = 40
STEPS = "▁▂▃▄▅▆▇█"
FULL, HIGH = 0.95, 0.8


class Lately(Struct, frozen=True, kw_only=True):
    """What the last hour and the last day were like.

    `gauges`: by the names of `bus.series`, a value for each minute of the hour. `day`: how many tasks of what
    was submitted in it are in each state. `users`: who used most, and what part of the cluster that was.
    """

    gauges: Mapping[str, Sequence[float | None]] = {}
    units: Mapping[str, str] = {}
    day: Mapping[str, int] = {}
    users: Sequence[tuple[str, float]] = ()
    end: str = "now"  # what the hour's end is called
    silent: Sequence[str] = ()  # what has no answer, and why


NOTHING = Lately()


def lately_lines(lately: Lately) -> list[list[Part]]:
    """Nodes by health, the day's distribution, who used most."""
    lines = [_nodes(lately)]
    total = sum(lately.day.values())
    if total:
        shown = [
            (f"{TASK_BADGES[state].glyph} {100 * lately.day[state] / total:.0f} % {state}", state)
            for state in TaskState
            if lately.day.get(state)
        ]
        day: list[Part] = [(f"{'24 h':<{LABEL_CELLS}}", "label")]
        for text, state in shown:
            day += [(text, TASK_BADGES[state].tone), ("   ", "")]
        lines.append(day)
    if lately.users:
        named = "   ".join(
            f"{fit(safe_line(name), USER_CELLS).rstrip()} {used:.0%}" for name, used in lately.users
        )
        lines.append([(f"{'users':<{LABEL_CELLS}}", "label"), (named, "")])
    lines += [[(f"✖ {safe_line(each)}", "bad")] for each in lately.silent]
    return [line for line in lines if line]


def hour_lines(lately: Lately, *, width: int) -> list[list[Part]]:
    """The hour as lines of blocks, of what was measured."""
    return [
        _hour(lately, label, name, tone, width=width)
        for label, name, tone in _HOUR
        if any(value is not None for value in lately.gauges.get(name, ()))
    ]


_HOUR = (
    ("queued", "queue_depth", "wait"),
    ("wait", "wait", "wait"),
    ("ended", "completed", "ok"),
    ("failed", "failed", "bad"),
)
"""Label, gauge, tone."""


def _nodes(lately: Lately) -> list[Part]:
    """How many nodes are in which health, at the newest moment."""
    line: list[Part] = []
    for health in NodeHealth:
        values = [value for value in lately.gauges.get(f"nodes_{health}", ()) if value is not None]
        if values and values[-1]:
            badge = NODE_BADGES[health]
            line += [(f"{badge.glyph} {count(round(values[-1]))} {health}", badge.tone), ("   ", "")]
    return [(f"{'nodes':<{LABEL_CELLS}}", "label"), *line] if line else []


def _hour(lately: Lately, label: str, name: str, tone: str, *, width: int) -> list[Part]:
    values, unit = lately.gauges[name], lately.units.get(name, "")
    cells = max(8, min(60, width - LABEL_CELLS - 34))
    known = [value for value in values if value is not None]
    drawn = sparkline(values, cells).lstrip(" ")
    said = f" {exact(known[-1], unit)} {lately.end}, most {exact(max(known), unit)} in an hour"
    return [
        (f"{label:<{LABEL_CELLS}}", "label"),
        ("┄" * (cells - len(drawn)), "idle"),  # also for what is older than the cluster
        (drawn, tone),
        (said, ""),
    ]


def pulse_lines(
    cluster: Cluster, running: Sequence[int], *, width: int, tall: bool, lately: Lately = NOTHING
) -> list[list[Part]]:
    """Lines of parts: what is, then how it went. `running`: tasks that ran, at each moment one looked."""
    tasks = [
        (TASK_BADGES[state].glyph, str(state), cluster.tasks.get(state, 0), TASK_BADGES[state].tone)
        for state in TaskState
    ]
    jobs = [
        (JOB_BADGES[state].glyph, str(state), cluster.jobs.get(state, 0), JOB_BADGES[state].tone)
        for state in JobState
    ]
    lines = [*_bars(cluster, lately, width=width, stacked=tall), _counts("tasks", tasks)]
    if tall:
        lines += [_counts("jobs", jobs), *lately_lines(lately)]
        history = [_history(running, width=width)] if running else []  # none of the past
        lines += [*history, *hour_lines(lately, width=width)]
    return lines


def bar(used: float, cells: int) -> str:
    """So many cells, filled to the half of one."""
    whole, half = divmod(round(max(0.0, min(1.0, used)) * cells * 2), 2)
    drawn = "━" * whole + "╸" * half
    return drawn + "┄" * (cells - len(drawn))


def sparkline(values: Sequence[float | None], cells: int, *, top: float = 0.0) -> str:
    """The newest `cells` values, the highest of them (or `top`) as a full block; a blank where is none."""
    shown = values[-cells:]
    top = max([top, *(value for value in shown if value is not None)])
    if top == 0:
        return "".join(" " if value is None else STEPS[0] for value in shown)
    steps = len(STEPS) - 1
    return "".join(" " if value is None else STEPS[round(value / top * steps)] for value in shown)


def _bars(cluster: Cluster, lately: Lately, *, width: int, stacked: bool) -> list[list[Part]]:
    """Cores, memory and GPUs: below each other, or beside each other where lines are few."""
    used, total = cluster.allocated, cluster.capacity
    words = share(used, total)
    amounts = (
        ("cpu", used.cpu_millis, total.cpu_millis, words[0]),
        ("memory", used.mem_mib, total.mem_mib, words[1]),
        ("gpu", used.gpu_millis, total.gpu_millis, words[2]),
    )
    present = [amount for amount in amounts if amount[2] or amount[0] != "gpu"]
    if not stacked:
        cells = max(4, min(14, width // len(present) - 12))
        line: list[Part] = []
        for label, have, of, _ in present:
            ratio = have / of if of else 0.0
            line += [
                (f"{label} ", "label"),
                (bar(ratio, cells), tone_of(ratio)),
                (f" {percent(have, of)}   ", ""),
            ]
        return [line]
    cells = max(8, min(BAR_CELLS_MAX, width - LABEL_CELLS - 26))
    return [
        [
            (f"{label:<{LABEL_CELLS}}", "label"),
            (bar(have / of if of else 0.0, cells), tone_of(have / of if of else 0.0)),
            (f" {percent(have, of):>5}  {text:<14}", ""),
            *_used(lately, label, width=width - LABEL_CELLS - cells - 24),
        ]
        for label, have, of, text in present
    ]


def _used(lately: Lately, label: str, *, width: int) -> list[Part]:
    """What was really used of it in the last hour, where there is room."""
    values = lately.gauges.get(f"{label}_used", ())
    known = [value for value in values if value is not None]
    if not known or width < USED_CELLS_MIN:
        return []
    drawn = sparkline(values, min(60, width - 14), top=100.0)
    return [("  used ", "label"), (drawn, tone_of(known[-1] / 100.0)), (f" {known[-1]:.0f} %", "")]


def _counts(label: str, counts: Sequence[tuple[str, str, int, str]]) -> list[Part]:
    line: list[Part] = [(f"{label:<{LABEL_CELLS}}", "label")]
    shown = [one for one in counts if one[2]]
    for glyph, word, number, tone in shown:
        line += [(f"{glyph} {count(number)} {word}", tone), ("   ", "")]
    return line if shown else [*line, ("none", "idle")]


def _history(running: Sequence[int], *, width: int) -> list[Part]:
    cells = max(8, min(60, width - LABEL_CELLS - 24))
    drawn = sparkline(running, cells)
    now = count(running[-1]) if running else NONE
    return [
        (f"{'running':<{LABEL_CELLS}}", "label"),
        ("┄" * (cells - len(drawn)), "idle"),
        (drawn, "busy"),
        (f" {now} now, most {count(max(running, default=0))}", ""),
    ]


def percent(have: float, of: float) -> str:
    """ "62 %"; a dash where there is nothing to share out."""
    return f"{100 * have / of:.0f} %" if of else NONE


def tone_of(ratio: float) -> str:
    """How full is full."""
    return "bad" if ratio >= FULL else "warn" if ratio >= HIGH else "ok"
