"""All jobs one may see, newest first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on
from textual.binding import Binding

from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.listing import sort_bindings
from tui.screens.steerable import SteerableList
from tui.view.facts import job_facts
from tui.view.lines import Line
from tui.view.listings import JOBS
from tui.widgets.virtual_table import VirtualTable

if TYPE_CHECKING:
    from bus.api import Job, JobChanged


class JobsScreen(SteerableList["Job"]):
    """Enter on a job opens its tasks."""

    BINDINGS = [
        Binding("t", "open_tasks", "tasks", show=False, id="jobs.tasks"),
        Binding("l", "open_log", "logs", id="jobs.logs"),
        Binding("i", "attach", "its terminal", show=False, id="jobs.attach"),
        Binding("w", "why", "why", id="jobs.why"),
        Binding("d", "details", "details", id="jobs.details"),
        Binding("C", "steer('cancel')", "cancel", id="jobs.cancel"),
        Binding("R", "steer('retry')", "retry what failed", show=False, id="jobs.retry"),
        Binding("h", "steer('hold')", "hold", show=False, id="jobs.hold"),
        Binding("e", "steer('release')", "release", show=False, id="jobs.release"),
        Binding("p", "steer('pause')", "pause", show=False, id="jobs.pause"),
        Binding("o", "steer('resume')", "resume", show=False, id="jobs.resume"),
        Binding("s", "resubmit", "submit again, edited", show=False, id="jobs.resubmit"),
        Binding("P", "steer('priority')", "priority", show=False, priority=True, id="jobs.priority"),
        Binding("Q", "steer('requeue')", "requeue what runs", show=False, id="jobs.requeue"),
        Binding("r", "ranks", "gangs and their ranks", show=False, id="jobs.ranks"),
        Binding("b", "gantt", "gantt", show=False, id="jobs.gantt"),
        *sort_bindings(JOBS),
    ]
    listing = JOBS
    noun = "job"
    crumb = "jobs"
    empty = "No jobs yet.\n\nIn a shell: corral run -- echo hello"
    example = "state=running,failed name~train age<1h user=me"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Job]:
        """One page, unless it is known."""
        answer = await source.jobs(
            filter=self._filter,
            sort=self._sort,
            cursor=cursor,
            limit=limit,
            at=self.console.moment,
            known=known,
        )
        return Slice(answer.jobs, answer.next, answer.total, answer.states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """A job we do not know is new, or lies behind the last page."""
        unknown = False
        for number, change in deltas.jobs.items():
            unknown |= not self.pages.patch(str(number), partial(patched, change))
        return unknown or (bool(deltas.jobs) and bool(self._filter))

    def preview(self, row: Job) -> list[Line]:
        """Its facts."""
        return [*self.refused(row), *job_facts(row, now_s=self.now_s)]

    @on(VirtualTable.Selected)
    def action_open_tasks(self) -> None:
        """The tasks of the job under the cursor."""
        from tui.screens.tasks import TasksScreen

        if (job := self.table.row) is not None:
            self.app.push_screen(TasksScreen(job.number))

    def action_open_log(self) -> None:
        """The output of a job's only task; of several, one has to be chosen. Of marked jobs, the first."""
        from tui.screens.log import LogScreen
        from tui.screens.logs import open_logs

        if marked := self.table.marked:
            self.app.run_worker(open_logs(self.console, [f"{each.number}.0" for each in marked]))
            return
        if (job := self.table.row) is None:
            return
        if job.counts.total == 1:
            self.app.push_screen(LogScreen(f"{job.number}.0"))
        else:
            self.action_open_tasks()

    def action_attach(self) -> None:
        """The terminal of a job's only task; of several, one has to be chosen."""
        if (job := self.table.row) is None:
            return
        if job.counts.total == 1:
            self.attach(f"{job.number}.0")
        else:
            self.action_open_tasks()

    def action_why(self) -> None:
        """Why it waits, or why it is where it is."""
        from tui.screens.document import why

        if (job := self.table.row) is not None:
            self.app.push_screen(why(str(job.number)))

    def action_gantt(self) -> None:
        """What of it ran where and when, as bars over time."""
        from tui.screens.gantt import GanttScreen

        if (job := self.table.row) is not None:
            self.app.push_screen(GanttScreen(job=job.number))

    def action_ranks(self) -> None:
        """The ranks of a job's only task; of several, how far its gangs are."""
        from tui.screens.training import GangsScreen, RanksScreen

        if (job := self.table.row) is not None:
            only = job.counts.total == 1
            self.app.push_screen(RanksScreen(f"{job.number}.0") if only else GangsScreen(job.number))

    def action_details(self) -> None:
        """All that is known of it, with its command."""
        from tui.screens.document import job_details

        if (job := self.table.row) is not None:
            self.app.push_screen(job_details(str(job.number)))

    def action_resubmit(self) -> None:
        """The form, filled in as the job under the cursor was."""
        if (job := self.table.row) is not None:
            self.submit(str(job.number))


def patched(change: JobChanged, job: Job) -> Job:
    """`job` as the feed says it is now; its times come with the next reload."""
    return replace(
        job, state=change.state, counts=change.counts, exit_code=change.exit_code, held=change.held,
        started_at=job.started_at or (change.at if change.counts.running else None),
        ended_at=change.at if change.state.is_terminal else None,
    )  # fmt: skip
