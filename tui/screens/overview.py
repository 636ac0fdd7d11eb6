"""The first screen: the nodes, and below them the jobs."""

from __future__ import annotations

from textual import on, work
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import DataTable, Static

from bus.errors import CorralError
from tui.client.session import Snapshot
from tui.screens.confirm import Confirm
from tui.screens.live import LiveScreen
from tui.screens.tasks import TasksScreen
from tui.view.rows import JOB_COLUMNS, NODE_COLUMNS, job_row, node_row
from tui.view.states import JOB_BADGES, NODE_BADGES
from tui.widgets.live_table import LiveTable, Row

NO_JOBS = "No jobs yet. In a shell: corral run -- echo hello"
NO_NODES = "No nodes yet. An agent that starts appears here by itself."


class OverviewScreen(LiveScreen):
    """Enter on a job opens its tasks."""

    BINDINGS = [
        Binding("2", "focus_table('nodes')", "nodes"),
        Binding("3", "focus_table('jobs')", "jobs"),
        Binding("C", "cancel", "cancel job"),
    ]

    def body(self) -> list[Widget]:
        """Two tables under their titles."""
        return [
            Static("nodes", classes="title", markup=False, id="nodes-title"),
            LiveTable(NODE_COLUMNS, id="nodes"),
            Static("jobs", classes="title", markup=False, id="jobs-title"),
            LiveTable(JOB_COLUMNS, id="jobs"),
        ]

    def on_mount(self) -> None:
        """Jobs have the focus."""
        self.query_one("#jobs").focus()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Fill both tables."""
        nodes, jobs = snapshot.nodes.nodes, snapshot.jobs.jobs
        self.query_one("#nodes", LiveTable).show_rows(
            [Row(node.name, node_row(node), NODE_BADGES[node.health].tone) for node in nodes]
        )
        self.query_one("#jobs", LiveTable).show_rows(
            [
                Row(str(job.number), job_row(job, now_s=snapshot.at_s), JOB_BADGES[job.state].tone)
                for job in jobs
            ]
        )
        more = " and older ones" if snapshot.jobs.next else ""
        self.query_one("#nodes-title", Static).update(f"nodes  {len(nodes)}" if nodes else NO_NODES)
        self.query_one("#jobs-title", Static).update(f"jobs  newest {len(jobs)}{more}" if jobs else NO_JOBS)

    def action_focus_table(self, name: str) -> None:
        """Move to the nodes or to the jobs."""
        self.query_one(f"#{name}").focus()

    @on(DataTable.RowSelected, "#jobs")
    def _open_job(self, event: DataTable.RowSelected) -> None:
        if event.row_key.value is not None:
            self.app.push_screen(TasksScreen(event.row_key.value))

    @work(exclusive=True, group="act")
    async def action_cancel(self) -> None:
        """Cancel the job under the cursor, once confirmed."""
        job = self.query_one("#jobs", LiveTable).selected
        if job is None or not await self.app.push_screen_wait(
            Confirm(f"Cancel job {job}?", f"corral cancel {job}")
        ):
            return
        try:
            answer = await self.session.client.cancel(job)
        except CorralError as error:
            self.tell(error)
        else:
            self.notify(f"job {job}: {answer.tasks} tasks told to end", markup=False)
            self.session.refresh()
