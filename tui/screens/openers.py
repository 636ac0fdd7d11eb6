"""The screens that a line of the command line opens: "tasks 1042", "why 1042.7". One line here for each."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tui.loading import at
from tui.screens.live import LiveScreen
from tui.view.words import WordError


def _tasks(target: str) -> LiveScreen:
    from tui.screens.every_task import ALL, EveryTaskScreen
    from tui.screens.tasks import TasksScreen

    if target == ALL:
        return EveryTaskScreen()
    if not target.isdigit():
        raise WordError(f"tasks of which job? not a number: {target}")
    return TasksScreen(int(target))


def _details(target: str) -> LiveScreen:
    """Of a task ("1042.7"), a job ("1042") or a node."""
    from tui.screens.document import job_details, node_details, task_details

    if not target.replace(".", "").isdigit():
        return node_details(target)
    return task_details(target) if "." in target else job_details(target)


def _gantt(target: str) -> LiveScreen:
    """Of a job ("1042") or a node."""
    from tui.screens.gantt import GanttScreen

    return GanttScreen(job=int(target)) if target.isdigit() else GanttScreen(node=target)


class Opener(Struct, frozen=True):
    """`takes` names what follows the word; "" where nothing does."""

    takes: str
    about: str
    open: Callable[[str], LiveScreen]


OPENERS: dict[str, Opener] = {
    "chart": Opener(
        "NODE,…|TASK,…",
        "gauges over time; cluster, or names and then metrics",
        at("tui.screens.charts:chart_of"),
    ),
    "changes": Opener("FROM", "what changed since a moment", at("tui.screens.past:changes_since")),
    "details": Opener("JOB|TASK|NODE", "all that is known of it", _details),
    "gangs": Opener("JOB", "the gangs of a job: how far each is", at("tui.screens.training:gangs_of")),
    "gantt": Opener("JOB|NODE", "what ran where and when", _gantt),
    "job": Opener("JOB", "a job in full", at("tui.screens.document:job_details")),
    "tool": Opener("TOOL", "a registered tool in full", at("tui.screens.tools:tool_details")),
    "node": Opener("NODE", "a node in full", at("tui.screens.document:node_details")),
    "output": Opener("TASK", "what a task printed", at("tui.screens.log:LogScreen")),
    "plan": Opener("", "what would start next, when and where", at("tui.screens.upcoming:upcoming_screen")),
    "ranks": Opener("TASK", "a gang and its ranks, one by one", at("tui.screens.training:ranks_of")),
    "spike": Opener("FROM..TO", "what stands out in an interval", at("tui.screens.past:spike_of")),
    "task": Opener("TASK", "a task in full", at("tui.screens.document:task_details")),
    "tasks": Opener("JOB|all", "the tasks of a job, or of all", _tasks),
    "whatif": Opener("NODE", "what if it were drained, or more came", at("tui.screens.whatif:WhatIfScreen")),
    "why": Opener("JOB|TASK", "why it is where it is, or what keeps it back", at("tui.screens.document:why")),
    "xray": Opener("USER", "somebody's jobs, tasks and nodes as a tree", at("tui.screens.xray:XRayScreen")),
}
"""By word. What stands at the end of a crumb opens the same screen again: "1042 › tasks" is "tasks 1042"."""


def screen_of(line: str) -> LiveScreen | None:
    """A new screen; None where the line opens none. Raises WordError."""
    word, _, target = line.partition(" ")
    opener = OPENERS.get(word)
    return opener.open(target) if opener is not None and bool(target) == bool(opener.takes) else None
