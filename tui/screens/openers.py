"""The screens that a line of the command line opens: "tasks 1042", "why 1042.7". One line here for each."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tui.screens.charts import chart_of
from tui.screens.document import job_details, node_details, task_details, why
from tui.screens.gantt import GanttScreen
from tui.screens.live import LiveScreen
from tui.screens.log import LogScreen
from tui.screens.past import changes_since, spike_of
from tui.screens.tasks import TasksScreen
from tui.screens.whatif import WhatIfScreen
from tui.screens.xray import XRayScreen
from tui.view.words import WordError


def _tasks(target: str) -> LiveScreen:
    if not target.isdigit():
        raise WordError(f"tasks of which job? not a number: {target}")
    return TasksScreen(int(target))


def _details(target: str) -> LiveScreen:
    """Of a task ("1042.7"), a job ("1042") or a node."""
    if not target.replace(".", "").isdigit():
        return node_details(target)
    return task_details(target) if "." in target else job_details(target)


def _gantt(target: str) -> LiveScreen:
    """Of a job ("1042") or a node."""
    return GanttScreen(job=int(target)) if target.isdigit() else GanttScreen(node=target)


class Opener(Struct, frozen=True):
    """`takes` names what follows the word."""

    takes: str
    about: str
    open: Callable[[str], LiveScreen]


OPENERS: dict[str, Opener] = {
    "chart": Opener("NODE,…|TASK,…", "gauges over time; cluster, or names and then metrics", chart_of),
    "changes": Opener("FROM", "what changed since a moment", changes_since),
    "details": Opener("JOB|TASK|NODE", "all that is known of it", _details),
    "gantt": Opener("JOB|NODE", "what ran where and when", _gantt),
    "job": Opener("JOB", "a job in full", job_details),
    "node": Opener("NODE", "a node in full", node_details),
    "output": Opener("TASK", "what a task printed", LogScreen),
    "spike": Opener("FROM..TO", "what stands out in an interval", spike_of),
    "task": Opener("TASK", "a task in full", task_details),
    "tasks": Opener("JOB", "the tasks of a job", _tasks),
    "whatif": Opener("NODE", "what if it were drained, or more came", WhatIfScreen),
    "why": Opener("JOB|TASK", "why it is where it is, or what keeps it back", why),
    "xray": Opener("USER", "somebody's jobs, tasks and nodes as a tree", XRayScreen),
}
"""By word. What stands at the end of a crumb opens the same screen again: "1042 › tasks" is "tasks 1042"."""


def screen_of(line: str) -> LiveScreen | None:
    """A new screen; None where the line opens none. Raises WordError."""
    word, _, target = line.partition(" ")
    opener = OPENERS.get(word)
    return opener.open(target) if opener is not None and target else None
