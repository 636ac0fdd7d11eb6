"""One job: its state in a line, its tasks in a table."""

from __future__ import annotations

from textual import on, work
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import DataTable, Static

from bus.errors import CorralError
from tui.client.session import Snapshot
from tui.screens.confirm import Confirm
from tui.screens.live import LiveScreen
from tui.screens.log import LogScreen
from tui.view.rows import TASK_COLUMNS, counts_text, task_row
from tui.view.safe import safe_line
from tui.view.states import TASK_BADGES
from tui.widgets.live_table import LiveTable, Row

TASKS_MAX = 200


class TasksScreen(LiveScreen):
    """Enter on a task opens its output."""

    BINDINGS = [
        Binding("escape,minus", "app.pop_screen", "back"),
        Binding("l", "open_log", "log"),
        Binding("C", "cancel_task", "cancel task"),
    ]

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job

    def body(self) -> list[Widget]:
        """A line about the job, and its tasks."""
        return [
            Static(f"job {self._job}", classes="title", markup=False, id="job-title"),
            LiveTable(TASK_COLUMNS, id="tasks"),
        ]

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Ask for the tasks anew."""
        self._load(snapshot.at_s)

    @work(exclusive=True, group="load")
    async def _load(self, now_s: float) -> None:
        try:
            client = self.session.client
            job, answer = await client.job(self._job), await client.tasks(self._job, limit=TASKS_MAX)
        except CorralError as error:
            self.query_one("#job-title", Static).update(f"job {self._job}: {safe_line(str(error))}")
            return
        reason = f"  {job.reason}" if job.reason else ""
        shown = f"  first {len(answer.tasks)} rows" if answer.next else ""
        title = f"job {job.number}  {job.name}  {job.state}  {counts_text(job.counts)}{reason}{shown}"
        self.query_one("#job-title", Static).update(safe_line(title))
        self.query_one("#tasks", LiveTable).show_rows(
            [
                Row(f"{task.job}.{task.index}", task_row(task, now_s=now_s), TASK_BADGES[task.state].tone)
                for task in answer.tasks
            ]
        )

    @on(DataTable.RowSelected, "#tasks")
    def _open_selected(self) -> None:
        self.action_open_log()

    def action_open_log(self) -> None:
        """The output of the task under the cursor."""
        task = self.query_one("#tasks", LiveTable).selected
        if task is not None:
            self.app.push_screen(LogScreen(task))

    @work(exclusive=True, group="act")
    async def action_cancel_task(self) -> None:
        """Cancel the task under the cursor, once confirmed."""
        task = self.query_one("#tasks", LiveTable).selected
        if task is None or not await self.app.push_screen_wait(
            Confirm(f"Cancel task {task}?", f"corral cancel {task}")
        ):
            return
        try:
            await self.session.client.cancel(task)
        except CorralError as error:
            self.tell(error)
        else:
            self.session.refresh()
