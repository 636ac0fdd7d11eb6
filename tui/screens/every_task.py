"""Tasks of all jobs, newest job first: those of the nodes that were brushed, or of what a chart shows."""

from __future__ import annotations

from textual.binding import Binding

from tui.client.session import Deltas
from tui.screens.acting import Scope
from tui.screens.tasks import TasksScreen
from tui.view.listings import EVERY_TASK, SORT_BY
from tui.view.places import Step
from tui.view.shell import shell_command

ALL = "all"
"""In the place of a job: `:tasks all`."""


class EveryTaskScreen(TasksScreen):
    """What one may see of them; untouched tasks of a job are one row."""

    BINDINGS = [
        Binding("J", "sort('job')", f"{SORT_BY}JOB", show=False, id="tasks.sort_job"),
    ]
    listing = EVERY_TASK
    empty = "No tasks yet. S submits a job."
    example = "state=running node=n1,n2 user=me started>2026-11-22T10:00:00Z"

    def __init__(self, *, filter: str = "") -> None:
        super().__init__("", filter=filter)
        self.crumb = f"{ALL} › tasks"

    def absorb(self, deltas: Deltas) -> bool:
        """Any task may be one of them."""
        for change in deltas.tasks.values():
            self.patch(change)
        return bool(deltas.tasks or deltas.jobs)

    def scope(self) -> Scope | None:
        """Only what a filter says: the list of one job means that job, this one nothing by itself."""
        return super(TasksScreen, self).scope()

    def shell_command(self) -> str:
        """The same list, which needs no job there."""
        step = self.step()
        return shell_command(Step("tasks", step.filter, step.sort), at=self.console.moment)
