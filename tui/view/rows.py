"""Answers of the coordinator into the cells of their usual tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus.supervision import ProcessStatus
from tui.view.amounts import NONE, count, duration
from tui.view.columns import JOB_FIELDS, NODE_FIELDS, TASK_FIELDS
from tui.view.fields import cells, choose, columns
from tui.view.states import PROCESS_BADGES
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.api import Job, Node, Task, TaskCounts


_JOB = choose(JOB_FIELDS, (), wide=False)
_TASK = choose(TASK_FIELDS, (), wide=False)
_NODE = choose(NODE_FIELDS, (), wide=False)

JOB_COLUMNS = columns(_JOB)
TASK_COLUMNS = columns(_TASK)
NODE_COLUMNS = columns(_NODE)

PROCESS_COLUMNS = (
    Column("PROCESS"),
    Column("S"),
    Column("HEALTH"),
    Column("PID", right=True),
    Column("ADDRESS"),
    Column("RESTARTS", right=True),
    Column("SINCE", right=True),
    Column("MESSAGE", flexible=True),
)


def job_row(job: Job, *, now_s: float) -> tuple[str, ...]:
    """The cells of JOB_COLUMNS."""
    return cells(_JOB, job, now_s=now_s)


def task_row(task: Task, *, now_s: float) -> tuple[str, ...]:
    """The cells of TASK_COLUMNS; a range of untouched tasks is one row."""
    return cells(_TASK, task, now_s=now_s)


def node_row(node: Node) -> tuple[str, ...]:
    """The cells of NODE_COLUMNS."""
    return cells(_NODE, node, now_s=0.0)


def process_row(process: ProcessStatus, *, now_s: float) -> tuple[str, ...]:
    """The cells of PROCESS_COLUMNS."""
    return (
        process.name,
        PROCESS_BADGES[process.health].glyph,
        str(process.health),
        str(process.identity.pid) if process.identity else NONE,
        process.address or NONE,
        str(process.restarts),
        duration(now_s - process.since) if process.since else NONE,
        process.message or process.role,
    )


def counts_text(counts: TaskCounts) -> str:
    """A job's tasks by state, those that are not zero: "3 running, 7 completed"."""
    parts = [
        f"{count(getattr(counts, name))} {name}"
        for name in counts.__struct_fields__
        if name != "total" and getattr(counts, name)
    ]
    return ", ".join(parts) or "no tasks"
