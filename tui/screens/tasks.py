"""The tasks of one job, by index; untouched tasks of an array share a row."""

from __future__ import annotations

from functools import partial
from typing import Literal

from msgspec.structs import replace
from textual import on
from textual.binding import Binding

from bus.api import Task, TaskChanged
from bus.series import SeriesKind
from bus.values import TaskState
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.acting import Scope
from tui.screens.charts import ChartsScreen
from tui.screens.document import task_details, why
from tui.screens.listing import sort_bindings
from tui.screens.log import LogScreen
from tui.screens.logs import open_logs
from tui.screens.steerable import SteerableList
from tui.view.charting import Subject
from tui.view.effects import OVER
from tui.view.facts import task_facts
from tui.view.lines import Line
from tui.view.listings import TASKS
from tui.widgets.virtual_table import VirtualTable


class TasksScreen(SteerableList[Task]):
    """Enter on a task opens its output."""

    BINDINGS = [
        Binding("l", "open_log", "logs", id="tasks.logs"),
        Binding("i", "attach", "its terminal", show=False, id="tasks.attach"),
        Binding("w", "why", "why", id="tasks.why"),
        Binding("d", "details", "details", id="tasks.details"),
        Binding("r", "ranks", "its ranks", show=False, id="tasks.ranks"),
        Binding("c", "chart", "charts", show=False, id="tasks.chart"),
        Binding("C", "steer('cancel')", "cancel", id="tasks.cancel"),
        Binding("R", "steer('retry')", "retry", show=False, id="tasks.retry"),
        Binding("Q", "steer('requeue')", "requeue", show=False, id="tasks.requeue"),
        *sort_bindings(TASKS),
    ]
    listing = TASKS
    noun = "task"
    empty = "This job has no tasks."
    example = "state=failed,timeout node=n1 exit!=0 index<100"

    def __init__(self, job: int | Literal[""], *, filter: str = "") -> None:
        super().__init__(filter=filter)
        self._job = job
        self.crumb = f"{job} › tasks"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Task]:
        """One page, unless it is known."""
        answer = await source.tasks(
            self._job,
            filter=self._filter,
            sort=self._sort,
            cursor=cursor,
            limit=limit,
            at=self.console.moment,
            known=known,
        )
        return Slice(answer.tasks, answer.next, answer.total, answer.states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """A task without a row of its own leaves its range: the list has other rows then."""
        ours = [change for change in deltas.tasks.values() if change.job == self._job]
        unknown = False
        for change in ours:
            unknown |= not self.patch(change)
        return unknown or bool(ours and self._filter) or (self._job != "" and self._job in deltas.jobs)

    def patch(self, change: TaskChanged) -> bool:
        """What the feed says, put into its row; False where that is not known."""
        return self.pages.patch(f"{change.job}.{change.index}", partial(patched, change))

    def scope(self) -> Scope | None:
        """Those of this job that its filter lets through."""
        filter = f"job={self._job} {self._filter}".strip()
        return Scope(noun=self.noun, filter=filter, total=self.pages.total) if self.pages.total else None

    def preview(self, row: Task) -> list[Line]:
        """Its facts."""
        return [*self.refused(row), *task_facts(row, now_s=self.now_s)]

    @on(VirtualTable.Selected)
    def action_open_log(self) -> None:
        """The output of the task under the cursor; of those marked, side by side."""
        if marked := self.table.marked:
            self.app.run_worker(open_logs(self.console, [self.listing.key(each) for each in marked]))
        elif (task := self.table.row) is not None:
            self.app.push_screen(LogScreen(self.listing.key(task)))

    def action_attach(self) -> None:
        """The terminal of the task under the cursor."""
        if (task := self.table.row) is not None:
            self.attach(self.listing.key(task))

    def action_why(self) -> None:
        """Why it waits, or why it is where it is."""
        if (task := self.table.row) is not None:
            self.app.push_screen(why(self.listing.key(task)))

    def action_ranks(self) -> None:
        """The ranks of a gang, and how far it is as a whole."""
        from tui.screens.training import RanksScreen

        if (task := self.table.row) is not None:
            self.app.push_screen(RanksScreen(self.listing.key(task)))

    def action_chart(self) -> None:
        """What the marked tasks, or the one under the cursor, used."""
        if names := tuple(map(self.listing.key, self.table.chosen)):
            self.app.push_screen(ChartsScreen(Subject(SeriesKind.TASK, names)))

    def action_details(self) -> None:
        """All that is known of it, with its attempts."""
        if (task := self.table.row) is not None:
            self.app.push_screen(task_details(self.listing.key(task)))


def patched(change: TaskChanged, task: Task) -> Task:
    """`task` as the feed says it is now; a range is left to the next reload."""
    if task.count > 1:
        return task
    running = change.state is TaskState.RUNNING
    return replace(
        task, state=change.state, node=change.node, fence=change.fence, exit_code=change.exit_code,
        started_at=change.at if running and task.fence != change.fence else task.started_at,
        ended_at=change.at if change.state in OVER else None,
    )  # fmt: skip
