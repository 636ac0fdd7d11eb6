"""What ran where and when, node by node, and why nothing ran where nothing did."""

from __future__ import annotations

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Static

from bus.errors import CorralError
from bus.timeline import PlacedAttempt, TimelineQuery
from tui.client.asking import patiently
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.wake import Wake
from tui.screens.document import node_details, task_details, why
from tui.screens.every_task import EveryTaskScreen
from tui.screens.live import LiveScreen, error_text
from tui.screens.log import LogScreen
from tui.screens.tasks import TasksScreen
from tui.view.amounts import duration
from tui.view.gantt import GLYPHS, OTHERS, Story, amounts
from tui.view.heat import FILTER_CHARS_MAX, tasks_filter
from tui.view.instants import local
from tui.view.safe import safe_line
from tui.view.shell import timeline_command
from tui.widgets.gantt import GanttChart
from tui.widgets.one_line import OneLine
from tui.widgets.prompt import Prompt

RELOAD_S = 5.0
NODES_MOST = 100
ATTEMPTS_MOST = 10_000
SPAN_FIRST_S, SPAN_LEAST_S, SPAN_MOST_S = 3_600.0, 60.0, 30 * 86_400.0
AHEAD = 0.08
"""So much of what is shown lies ahead of now, for what is planned."""

SLOTS_FEW, SLOTS_ALL = 4, 64


class GanttScreen(LiveScreen):
    """Of the nodes that a filter lets through, or of all that one job ran on."""

    BINDINGS = [
        Binding("enter,d", "details", "details", id="gantt.details"),
        Binding("w", "why", "why", id="gantt.why"),
        Binding("o", "open_log", "output", show=False, id="gantt.log"),
        Binding("i", "tasks", "its tasks", show=False, id="gantt.tasks"),
        Binding("plus,equals_sign", "zoom(0.5)", "closer", key_display="+", id="gantt.closer"),
        Binding("underscore", "zoom(2.0)", "wider", key_display="_", id="gantt.wider"),
        Binding("n", "now", "now", show=False, id="gantt.now"),
        Binding("s", "slots", "all lanes, or few", show=False, id="gantt.slots"),
        Binding("slash", "filter", "filter nodes", priority=True, id="gantt.filter"),
        Binding("ctrl+r", "reload", "ask again now", show=False, id="gantt.reload"),
    ]

    def __init__(self, *, filter: str = "", job: int | None = None, node: str = "") -> None:
        super().__init__()
        about = node if job is None else str(job)
        self.crumb = f"{about} › gantt" if about else "gantt"
        self._filter = f"name={node}" if node else filter
        self._job = job
        self._span_s = SPAN_FIRST_S
        self._end: float | None = None  # None: with the time
        self._facts = ""
        self._empty = ""
        self._wake = Wake()

    def body(self) -> list[Widget]:
        """The lanes, and what is under the cursor."""
        return [
            GanttChart(id="gantt"),
            Static("loading …", markup=False, id="note"),
            OneLine(id="gantt-cursor"),
        ]

    @property
    def chart(self) -> GanttChart:
        """The lanes."""
        return self.query_one("#gantt", GanttChart)

    def on_mount(self) -> None:
        """Begin to keep it up to date."""
        self.chart.display = False
        self.chart.focus()
        self._keep()

    def on_online(self) -> None:
        """Look again where something was missing."""
        if (self.is_bare or self.asking.error is not None) and not self.asking.is_under_way:
            self._wake.now()

    def on_offline(self) -> None:
        """Say why nothing is there, where nothing is."""
        self.on_condition()

    @property
    def is_bare(self) -> bool:
        """Without lanes."""
        return not self.has_parts("#gantt") or self.chart.story is None or bool(self._empty)

    def on_condition(self) -> None:
        """The note and the crumbs say it."""
        if self.has_parts("#gantt", "#note"):
            self._draw_note()
        super().on_condition()

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for, unless an answer is on its way already."""
        if not self.asking.is_under_way:
            self._wake.now()

    def on_moment(self) -> None:
        """The past ends at the time cursor."""
        self._end = None
        self._wake.now()

    def on_deltas(self, deltas: Deltas) -> None:
        """Something started or ended."""
        if deltas.tasks or deltas.nodes:
            self._wake.soon()

    def facts_text(self) -> Text:
        """The filter, and how much of the history is shown."""
        text = Text("")
        if self._filter:
            text.append(f"[/{safe_line(self._filter)}]  ", style="bold")
        text.append(self._facts, style="dim")
        return text

    def shell_command(self) -> str:
        """What ran in the time that is shown; up to now where the chart goes along with it."""
        since, until = self._window()
        is_live = self._end is None and self.console.moment is None
        now_s = self.console.now_s if is_live else None
        return timeline_command(filter=self._filter, job=self._job, since_s=since, until_s=until, now_s=now_s)

    def action_zoom(self, factor: float) -> None:
        """Closer to the cursor, or further away from it."""
        at, before = self.chart.at, self._span_s
        self._span_s = min(SPAN_MOST_S, max(SPAN_LEAST_S, self._span_s * factor))
        since, until = self._window()
        share = (at - since) / before if self._end is not None else 1.0
        if self._end is not None or at < until - 2 * AHEAD * before:
            self._end = at + (1 - min(1.0, max(0.0, share))) * self._span_s
        self._wake.now()

    def action_now(self) -> None:
        """Back to now."""
        self._end = None
        self.console.look_at(None)
        self._wake.now()

    def action_slots(self) -> None:
        """All lanes of each node, or the first few."""
        chart = self.chart
        chart.slots_most = SLOTS_ALL if chart.slots_most == SLOTS_FEW else SLOTS_FEW
        self._wake.now()

    def action_filter(self) -> None:
        """Other nodes."""
        self.query_one(Prompt).open(self._filter, example="label.rack=r01 state=healthy kind=gpu")

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    def action_details(self) -> None:
        """The task under the cursor, or the node where there is none."""
        row = self.chart.row
        if (task := self._task_here()) is not None:
            self.app.push_screen(task_details(task))
        elif row is not None and self.chart.attempt is None:
            self.app.push_screen(node_details(row.node))

    def action_why(self) -> None:
        """Why the task is there."""
        if (task := self._task_here()) is not None:
            self.app.push_screen(why(task))

    def action_open_log(self) -> None:
        """What the task printed."""
        if (task := self._task_here()) is not None:
            self.app.push_screen(LogScreen(task))

    def action_tasks(self) -> None:
        """What started in the time that is shown, on the nodes that are; of a job, what of it did."""
        since, until = self._window()
        until = min(until, self.now_s)
        if self._job is not None:
            condition = tasks_filter([], since_s=since, until_s=until)
            self.app.push_screen(TasksScreen(self._job, filter=condition))
            return
        condition = tasks_filter(self.chart.names, since_s=since, until_s=until)
        if len(condition) > FILTER_CHARS_MAX:
            self.notify(
                f"{len(self.chart.names)} nodes are more than a filter names: / chooses fewer",
                severity="warning",
                markup=False,
            )
            return
        self.app.push_screen(EveryTaskScreen(filter=condition))

    def _task_here(self) -> str | None:
        attempt = self.chart.attempt
        return attempt.task or None if attempt is not None else None

    @on(Prompt.Answered)
    def _on_answer(self, event: Prompt.Answered) -> None:
        self._try_filter(event.text)

    @work(exclusive=True, group="filter")
    async def _try_filter(self, condition: str) -> None:
        """Try the condition first: what is wrong with it is said in its place."""
        prompt = self.query_one(Prompt)
        try:
            await patiently(self._check_filter(condition), prompt.wait)
        except CorralError as error:
            prompt.complain(error_text(error))
            return
        self._filter, self._job = condition, None
        prompt.display = False
        self.chart.focus()
        self._wake.now()

    async def _check_filter(self, condition: str) -> None:
        await self.session.source.nodes(filter=condition, limit=1)

    @on(Prompt.Closed)
    def _on_closed(self) -> None:
        self.workers.cancel_group(self, "filter")
        self.chart.focus()

    @on(GanttChart.Moved)
    def _on_moved(self, event: GanttChart.Moved) -> None:
        if event.beyond_s:
            _, until = self._window()
            self._end = until + event.beyond_s + (0.25 if event.beyond_s > 0 else -0.25) * self._span_s
            self._wake.now()
        self.query_one("#gantt-cursor", OneLine).say(self._cursor_text())

    def _window(self) -> tuple[float, float]:
        """From when to when."""
        until = self.now_s + AHEAD * self._span_s if self._end is None else self._end
        return until - self._span_s, until

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        while True:
            if self.is_current and self.is_online:
                self._wake.met()
                with self.asks():
                    await self._load(self.session.source)
                self.on_condition()
            await self._wake.wait(RELOAD_S)

    async def _load(self, source: Source) -> None:
        since, until = self._window()
        if self._job is None:
            chosen = await source.nodes(filter=self._filter, limit=NODES_MOST)
            nodes, total = [node.name for node in chosen.nodes], chosen.total or len(chosen.nodes)
            asked = TimelineQuery(since=since, until=until, nodes=nodes, limit=ATTEMPTS_MOST)
        else:
            asked = TimelineQuery(since=since, until=until, job=str(self._job), limit=ATTEMPTS_MOST)
            nodes, total = [], 0
        if self._job is None and not nodes:
            self._empty = "No nodes here.\n\n/ chooses others, Esc goes back."
            return
        found = await source.timeline(asked)
        if self._job is not None:
            nodes = sorted({attempt.node for attempt in found.attempts})
            total = len(nodes)
        if not nodes:
            hint = "_ shows more of it, Esc goes back."
            self._empty = f"Nothing of job {self._job} ran in this time.\n\n{hint}"
            return
        self._facts = f"{duration(until - since)}   {len(found.attempts)} attempts on {len(nodes)} nodes"
        if total > len(nodes):
            self._facts += f" of {total:,}: / chooses others"
        if found.truncated:
            self._facts += "   more than are told: come closer"
        self._empty = ""
        self.chart.show(Story(found, now_s=self.now_s), nodes, since=since, until=until)

    def _draw_note(self) -> None:
        text = self.note(self._empty) if self.is_bare else ""
        note = self.query_one("#note", Static)
        self.chart.display = not text
        note.display = bool(text)
        if text:
            note.update(text)
        elif self.focused is None:
            self.chart.focus()

    def _cursor_text(self) -> Text:
        """The attempt under the cursor, or why there is none."""
        chart = self.chart
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        if chart.row is None or chart.story is None:
            return text
        text.append(f"{local(chart.at)}  ", style="dim")
        text.append(f"{safe_line(chart.row.node)}  ", style="bold")
        if (attempt := chart.attempt) is not None:
            text.append(safe_line(attempt_text(attempt, now_s=chart.story.now_s)))
            return text
        found = chart.story.why(chart.row.node, chart.at)
        free = chart.story.free(chart.row.node, chart.at)
        planned = [each for cell, each in chart.row.planned if cell == chart.scale.cell(chart.at)]
        if planned:
            task = safe_line(planned[0].task or "a task")
            text.append(f"{task} starts here at {local(planned[0].start)} at the latest")
            return text
        text.append(f"{found.cause}", style="bold")
        text.append(f": {safe_line(found.detail)}" if found.detail else "")
        text.append("" if free is None else f"   {amounts(free)} free", style="dim")
        return text


def attempt_text(attempt: PlacedAttempt, *, now_s: float) -> str:
    """One attempt in a line."""
    glyph = GLYPHS.get(attempt.state, OTHERS)[0]
    ran = duration((now_s if attempt.end is None else attempt.end) - attempt.start)
    if not attempt.task:
        return f"{glyph} another user's task, {ran}, {amounts(attempt.resources)}"
    exit_word = f", exit {attempt.exit_code}" if attempt.exit_code else ""
    said = f"   {attempt.message}" if attempt.message else ""
    return (
        f"{glyph} {attempt.task} {attempt.name} of {attempt.user}, {attempt.state} {ran}{exit_word}, "
        f"{amounts(attempt.resources)}{said}"
    )
