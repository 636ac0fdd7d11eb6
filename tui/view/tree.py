"""Users, their jobs, the tasks of these, the nodes they are on: a tree that is asked for branch by branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from bus.api import Job, Node, Task
from bus.people import User
from bus.units import counted
from bus.values import TaskState
from tui.view.amounts import NONE
from tui.view.columns import exit_word, job_state, task_name, task_state
from tui.view.rows import counts_text
from tui.view.states import NODE_BADGES, TASK_BADGES, job_badge, node_tone, node_word

PAGE_ROWS = 50
"""So many children come at once; the last line asks for more."""


class Kind(StrEnum):
    USER = "user"
    JOB = "job"
    TASK = "task"
    NODE = "node"
    MORE = "more"
    NOTE = "note"


Row = User | Job | Task | Node | None


class Branch(Struct, eq=False, kw_only=True):
    """One line. `children` None: nobody asked yet; `cursor`: where the next page of them begins."""

    kind: Kind
    key: str
    text: str
    glyph: str = ""
    tone: str = ""
    row: Row = None
    open: bool = False
    children: list[Branch] | None = None
    cursor: str = ""

    @property
    def can_open(self) -> bool:
        """Whether there is anything below it."""
        return self.kind in (Kind.USER, Kind.JOB, Kind.TASK)


def visible(branches: Sequence[Branch], depth: int = 0) -> Iterator[tuple[int, Branch]]:
    """(depth, branch) of all lines, from the top to the bottom."""
    for branch in branches:
        yield depth, branch
        if branch.open and branch.children is not None:
            yield from visible(branch.children, depth + 1)


def opened(branches: Sequence[Branch]) -> list[Branch]:
    """Those that are open and in sight, the upper ones first."""
    return [branch for _, branch in visible(branches) if branch.open]


def grafted(branch: Branch, children: list[Branch], *, cursor: str) -> None:
    """Give it these children; what was open below it stays so."""
    before = {child.key: child for child in branch.children or ()}
    for child in children:
        old = before.get(child.key)
        if old is not None and old.open:
            child.open, child.children, child.cursor = True, old.children, old.cursor
    branch.children = with_more(children, cursor)
    branch.cursor = cursor


def extended(branch: Branch, children: list[Branch], *, cursor: str) -> None:
    """More of its children, after those it has."""
    kept = [child for child in branch.children or () if child.kind is not Kind.MORE]
    known = {child.key for child in kept}
    branch.children = with_more([*kept, *(each for each in children if each.key not in known)], cursor)
    branch.cursor = cursor


def with_more(children: list[Branch], cursor: str) -> list[Branch]:
    """The children, and the line that asks for more of them where there are more."""
    if not children:
        return [Branch(kind=Kind.NOTE, key="nothing", text="nothing here", tone="idle")]
    if not cursor:
        return children
    return [*children, Branch(kind=Kind.MORE, key="more", text="… Enter shows more", tone="idle")]


def user_branch(user: User) -> Branch:
    """Somebody, with what they run and wait for in all."""
    live = f"{counted(user.jobs, 'job')} not over, {user.running:,} running, {user.queued:,} queued"
    tone = "idle" if not user.active else "busy" if user.running else ""
    glyph = "●" if user.active else "⊘"
    return Branch(
        kind=Kind.USER, key=user.name, text=f"{user.name}  {live}", glyph=glyph, tone=tone, row=user
    )


def job_branch(job: Job) -> Branch:
    """A job, with how many of its tasks are where."""
    badge = job_badge(job)
    tasks = f"{counted(job.counts.total, 'task')}: {counts_text(job.counts)}"
    text = f"{job.number} {job.name}  {job_state(job)}  {tasks}"
    return Branch(kind=Kind.JOB, key=str(job.number), text=text, glyph=badge.glyph, tone=badge.tone, row=job)


def task_branch(task: Task) -> Branch:
    """A task, or those of an array that nobody touched yet."""
    badge = TASK_BADGES[task.state]
    ended = "" if task.exit_code is None else f"  exit {exit_word(task.exit_code, task.signal)}"
    tries = f"  attempt {task.fence}" if task.fence > 1 else ""
    text = f"{task_name(task)}  {task_state(task)}{tries}{ended}  {task.message}".rstrip()
    key = f"{task.job}.{task.index}"
    return Branch(kind=Kind.TASK, key=key, text=text, glyph=badge.glyph, tone=badge.tone, row=task)


def node_branch(node: Node, *, attempt: int) -> Branch:
    """The node that an attempt is on."""
    said = f"attempt {attempt} on {node.name}  {node_word(node.health, node.admin)}, {node.running} running"
    tone = node_tone(node.health, node.admin)
    return Branch(
        kind=Kind.NODE, key=node.name, text=said, glyph=NODE_BADGES[node.health].glyph, tone=tone, row=node
    )


def past_branch(node: str, *, attempt: int, state: str) -> Branch:
    """A node that an attempt was on."""
    return Branch(
        kind=Kind.NODE,
        key=f"{node} {attempt}",
        text=f"attempt {attempt} on {node or NONE}  {state}",
        tone="idle",
    )


def is_waiting(task: Task) -> bool:
    """Whether it has no node yet."""
    return task.node is None and task.state in (TaskState.PENDING, TaskState.QUEUED, TaskState.RETRYING)
