"""Gangs as trainings: those of a job, and the ranks of one. Tasks and their job are steered from here."""

from __future__ import annotations

import asyncio

from textual import on, work
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget

from bus.api import Task
from bus.errors import CorralError
from bus.requests import EventList
from bus.series import SeriesKind
from bus.training import GangProgress, GangRanks
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.charts import ChartsScreen
from tui.screens.document import node_details, task_details, why
from tui.screens.listing import ListScreen, ShortList, T
from tui.screens.log import LogScreen
from tui.view.actions import FILLED_FIRST
from tui.view.charting import Subject
from tui.view.lines import Line
from tui.view.shell import command
from tui.view.subjects import EVENTS_SHOWN
from tui.view.subjects import Subject as About
from tui.view.training_page import (
    GANGS,
    RANKS,
    RankRow,
    gang_facts,
    gang_lines,
    rank_facts,
    rank_rows,
)
from tui.view.words import WordError
from tui.widgets.virtual_log import VirtualLog
from tui.widgets.virtual_table import VirtualTable

GANGS_MAX = 1_000
"""That one answer tells of."""

OF_TASKS = frozenset({"cancel", "retry", "requeue"})
"""What is done to a gang itself; anything else is done to its job."""


class GangScreen(ShortList, ListScreen[T]):
    """What both lists can do with the gang under the cursor, and with its job."""

    past_note = "gangs as of now"
    BINDINGS = [
        Binding("l", "open_log", "logs", id="gangs.logs"),
        Binding("w", "why", "why", id="gangs.why"),
        Binding("d", "details", "the task", id="gangs.details"),
        Binding("c", "chart", "charts", id="gangs.chart"),
        Binding("C", "steer('cancel')", "cancel", id="gangs.cancel"),
        Binding("R", "steer('retry')", "retry", show=False, id="gangs.retry"),
        Binding("Q", "steer('requeue')", "requeue", show=False, id="gangs.requeue"),
        Binding("h", "steer('hold')", "hold the job", show=False, id="gangs.hold"),
        Binding("e", "steer('release')", "release the job", show=False, id="gangs.release"),
        Binding("p", "steer('pause')", "pause the job", show=False, id="gangs.pause"),
        Binding("o", "steer('resume')", "resume the job", show=False, id="gangs.resume"),
        Binding(
            "P", "steer('priority')", "priority of the job", show=False, priority=True, id="gangs.priority"
        ),
    ]
    job = 0

    def chosen(self) -> list[str]:
        """The tasks that are meant: those of the marked rows, else of the one under the cursor."""
        raise NotImplementedError

    def places(self) -> list[str]:
        """The same as ranks, where rows are ranks."""
        return self.chosen()

    def absorb(self, deltas: Deltas) -> bool:
        """What its agents told of its tasks, or what was done to its job."""
        return self.job in deltas.jobs or any(each.job == self.job for each in deltas.tasks)

    def action_steer(self, verb: str) -> None:
        """Do it to the gang, or to its job."""
        if verb in FILLED_FIRST:
            self.console.hold_keys()
        self._steer_as_it_is(verb)

    @work(group="act")
    async def _steer_as_it_is(self, verb: str) -> None:
        """A gang's row does not say all that the question tells of: its task is asked for first."""
        from tui.view.steering import steer

        source = self.session.source
        try:
            if verb in OF_TASKS:
                tasks = await asyncio.gather(*map(source.task, self.chosen()))
                steering = steer("task", verb, tasks)
            else:
                steering = steer("job", verb, [await source.job(self.job)])
        except CorralError as error:
            self.console.give_keys()
            self.tell(error)
            return
        self.steer(steering)

    def action_open_log(self) -> None:
        """The output of a rank; of a gang, that of rank 0."""
        if names := self.places():
            self.app.push_screen(LogScreen(names[0]))

    def action_why(self) -> None:
        """Why it waits, or why it is where it is."""
        if names := self.chosen():
            self.app.push_screen(why(names[0]))

    def action_details(self) -> None:
        """The task with its attempts and checkpoints."""
        if names := self.chosen():
            self.app.push_screen(task_details(names[0]))

    def action_chart(self) -> None:
        """What it used."""
        if names := self.places():
            self.app.push_screen(ChartsScreen(Subject(SeriesKind.TASK, tuple(names))))


class GangsScreen(GangScreen[GangProgress]):
    """The gangs of a job. Enter on one shows its ranks."""

    BINDINGS = [Binding("r", "ranks", "ranks", show=False, id="gangs.ranks")]
    listing = GANGS
    empty = "This job has no gangs.\n\nIn a shell: corral submit --gang 4 -- COMMAND"

    def __init__(self, job: int) -> None:
        super().__init__()
        self.job = job
        self.crumb = f"{job} › gangs"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[GangProgress]:
        """A page of them, by index."""
        answer = await source.training(self.job, limit=min(limit, GANGS_MAX), cursor=cursor)
        return Slice(answer.gangs, answer.next, 0)

    def preview(self, row: GangProgress) -> list[Line]:
        """The gang in full."""
        return gang_facts(row, now_s=self.now_s)

    def subject(self, row: GangProgress) -> About:
        """Its task."""
        return About(f"task {row.task}", row.task, row.task, EventList(task=row.task, limit=EVENTS_SHOWN))

    def shell_command(self) -> str:
        """The same gangs."""
        return command("train", "status", str(self.job))

    def chosen(self) -> list[str]:
        """The marked gangs, else the one under the cursor."""
        return [each.task for each in self.table.chosen]

    @on(VirtualTable.Selected)
    def action_ranks(self) -> None:
        """The ranks of the gang under the cursor."""
        if (gang := self.table.row) is not None:
            self.app.push_screen(RanksScreen(gang.task))


class RanksScreen(GangScreen[RankRow]):
    """The ranks of one gang, below what is known of it as a whole. Enter on one shows its node."""

    listing = RANKS
    empty = "It has no ranks now."

    def __init__(self, task: str) -> None:
        super().__init__()
        self.job = int(task.partition(".")[0])
        self.crumb = f"{task} › ranks"
        self._of = task
        self._found: GangRanks | None = None
        self._task_row: Task | None = None

    def body(self) -> list[Widget]:
        """The gang above its ranks."""
        gang = VirtualLog(id="gang")
        gang.can_focus = False
        pane = Container(gang, id="gang-pane")
        pane.display = False
        return [pane, *super().body()]

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[RankRow]:
        """All of them at once, with their task."""
        found, self._task_row = await asyncio.gather(source.ranks(self._of), source.task(self._of))
        self._found, rows = found, rank_rows(found)
        return Slice(rows, "", len(rows))

    def preview(self, row: RankRow) -> list[Line]:
        """The rank in full."""
        return rank_facts(row, now_s=self.now_s)

    def subject(self, row: RankRow) -> About:
        """What it printed itself; everything else is asked of the gang."""
        asked = EventList(task=row.task, limit=EVENTS_SHOWN)
        return About(f"rank {row.task}:{row.number}", row.name, row.task, asked)

    def shell_command(self) -> str:
        """The same ranks."""
        return command("train", "ranks", self._of)

    def chosen(self) -> list[str]:
        """A rank is not steered by itself: the gang is."""
        return [self._of]

    def places(self) -> list[str]:
        """The marked ranks, else the one under the cursor."""
        return [each.name for each in self.table.chosen]

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """The node that the rank is on."""
        if (row := self.table.row) is not None and row.rank is not None:
            self.app.push_screen(node_details(row.rank.node))

    def _draw(self) -> None:
        """The gang, too."""
        super()._draw()
        if self._found is not None and self.has_parts("#gang"):
            lines = gang_lines(self._found, self._task_row, now_s=self.now_s)
            pane = self.query_one("#gang-pane")
            pane.styles.height, pane.display = len(lines) + 1, True
            self.query_one("#gang", VirtualLog).replace(lines)


def ranks_of(task: str) -> RanksScreen:
    """Of a gang: a task ("1042.0"), or the first one of a job ("1042"). Raises WordError."""
    job, _, index = task.partition(".")
    if not job.isdigit() or not (index or "0").isdigit():
        raise WordError(f"ranks of which task? such as 1042.0, not {task}")
    return RanksScreen(f"{job}.{index or 0}")


def gangs_of(job: str) -> GangsScreen:
    """Of a job ("1042"). Raises WordError."""
    if not job.isdigit():
        raise WordError(f"gangs of which job? not a number: {job}")
    return GangsScreen(int(job))
