"""Answers of the coordinator into the cells of their tables."""

from __future__ import annotations

from bus.api import Job, Node, Task, TaskCounts
from bus.supervision import ProcessStatus
from bus.units import format_cpu_millis
from tui.view.amounts import NONE, count, duration, mebibytes, share
from tui.view.states import JOB_BADGES, NODE_BADGES, PROCESS_BADGES, TASK_BADGES, node_word
from tui.view.table import Column

JOB_COLUMNS = (
    Column("JOB", right=True),
    Column("S"),
    Column("STATE"),
    Column("NAME", flexible=True),
    Column("USER", flexible=True),
    Column("TASKS", right=True),
    Column("DONE", right=True),
    Column("RUN", right=True),
    Column("FAIL", right=True),
    Column("AGE", right=True),
    Column("TIME", right=True),
)

TASK_COLUMNS = (
    Column("TASK"),
    Column("S"),
    Column("STATE"),
    Column("NAME", flexible=True),
    Column("NODE", flexible=True),
    Column("TRY", right=True),
    Column("CPU", right=True),
    Column("MEM", right=True),
    Column("EXIT", right=True),
    Column("TIME", right=True),
    Column("MESSAGE", flexible=True),
)

NODE_COLUMNS = (
    Column("NODE", flexible=True),
    Column("S"),
    Column("STATE"),
    Column("KIND"),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("GPU", right=True),
    Column("RUN", right=True),
    Column("LOAD", right=True),
    Column("SEEN", right=True),
)

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
    badge = JOB_BADGES[job.state]
    return (
        str(job.number),
        badge.glyph,
        str(job.state),
        job.name,
        job.user,
        count(job.counts.total),
        count(job.counts.completed),
        count(job.counts.running),
        count(job.counts.failed),
        duration(now_s - job.submitted_at),
        duration(elapsed_s(job.started_at, job.ended_at, now_s=now_s)),
    )


def task_row(task: Task, *, now_s: float) -> tuple[str, ...]:
    """The cells of TASK_COLUMNS; a range of untouched tasks is one row."""
    badge = TASK_BADGES[task.state]
    return (
        task_name(task),
        badge.glyph,
        str(task.state) if task.count == 1 else f"{task.state} ×{count(task.count)}",
        task.name,
        task.node or NONE,
        str(task.fence) if task.fence else NONE,
        format_cpu_millis(task.resources.cpu_millis),
        mebibytes(task.resources.mem_mib),
        exit_word(task.exit_code, task.signal),
        duration(elapsed_s(task.started_at, task.ended_at, now_s=now_s)),
        task.message,
    )


def task_name(task: Task) -> str:
    """A task as people type it, "7.3"; a range of untouched ones "7.10–99"."""
    last = f"–{task.index + task.count - 1}" if task.count > 1 else ""
    return f"{task.job}.{task.index}{last}"


def node_row(node: Node) -> tuple[str, ...]:
    """The cells of NODE_COLUMNS."""
    cpu, memory, gpu = share(node.allocated, node.capacity)
    return (
        node.name,
        NODE_BADGES[node.health].glyph,
        node_word(node.health, node.admin),
        str(node.kind),
        cpu,
        memory,
        gpu,
        count(node.running),
        f"{node.load:.2f}",
        duration(node.last_heartbeat_s),
    )


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
        process.message,
    )


def exit_word(exit_code: int | None, signal: int | None) -> str:
    """How something ended: an exit code, "sig 9", or nothing yet."""
    if signal is not None:
        return f"sig {signal}"
    return NONE if exit_code is None else str(exit_code)


def elapsed_s(started_at: float | None, ended_at: float | None, *, now_s: float) -> float | None:
    """How long it ran, or has been running; None where it never started."""
    if started_at is None:
        return None
    return (now_s if ended_at is None else ended_at) - started_at


def counts_text(counts: TaskCounts) -> str:
    """A job's tasks by state, those that are not zero: "3 running, 7 completed"."""
    parts = [
        f"{count(getattr(counts, name))} {name}"
        for name in counts.__struct_fields__
        if name != "total" and getattr(counts, name)
    ]
    return ", ".join(parts) or "no tasks"
