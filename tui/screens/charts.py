"""Gauges over time: of the cluster, or of some nodes or tasks laid over each other, chart beside chart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from bus.requests import EventList
from bus.series import Measured, SeriesKind
from tui.client.source import Source
from tui.client.wake import Wake
from tui.screens.document import DocumentScreen
from tui.screens.live import LiveScreen
from tui.screens.past import explain_spike
from tui.view.chart_files import ENDINGS, csv_text, svg_text
from tui.view.charting import RANGES_S, Subject, marks_of, panels_of, parse_subject, queries
from tui.view.lines import Line
from tui.view.peaks import extent, highest
from tui.view.places import Step
from tui.view.safe import safe_line
from tui.view.series import Mark, Panel, reading, span_text, summary
from tui.view.shell import metrics_command
from tui.view.words import Word, WordError
from tui.widgets.chart import Chart
from tui.widgets.one_line import OneLine

CHARTS_MAX = 6
CHART_LINES = 9
"""A chart is at least so high, where there is room for more than one."""

RELOAD_MIN_S, RELOAD_MAX_S = 2.0, 60.0
MARKS_MAX = 200


class ChartsScreen(LiveScreen):
    """One cursor goes through all charts, and the line below them reads what stands there."""

    BINDINGS = [
        Binding("greater_than_sign,plus", "zoom(-1)", "closer", key_display=">", id="charts.closer"),
        Binding("less_than_sign", "zoom(1)", "wider", id="charts.wider"),
        Binding("down,j", "turn(1)", "more", id="charts.next"),
        Binding("up,k", "turn(-1)", "charts before", show=False, id="charts.before"),
        Binding("m", "one", "one or all", id="charts.one"),
        Binding("s", "summary", "in words", id="charts.summary"),
        Binding("enter,x", "explain", "explain the peak", key_display="Enter", id="charts.explain"),
        Binding("b", "band", "least and most", show=False, id="charts.band"),
        Binding("e", "newest", "up to now", show=False, id="charts.newest"),
        Binding("ctrl+r", "reload", "ask again now", show=False, id="charts.reload"),
    ]

    def __init__(self, subject: Subject | None = None) -> None:
        super().__init__()
        self.subject = subject or Subject()
        self.crumb = "charts" if subject is None else f"{subject.line} › chart"
        self.panels: list[Panel] = []
        self.cursor: int | None = None
        self._range = 1
        self._until_s: float | None = None
        self._first = 0
        self._single = self._has_band = False
        self._wake = Wake()

    def body(self) -> list[Widget]:
        """Charts, and the reading below them."""
        charts = Container(*(Chart() for _ in range(CHARTS_MAX)), id="charts")
        return [charts, OneLine(id="charts-reading")]

    def on_mount(self) -> None:
        """Begin to keep it up to date."""
        self._arrange()
        next(iter(self.query(Chart))).focus()
        self._keep()

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for."""
        self._wake.now()

    def on_resize(self, event: Resize) -> None:
        """As many as there is room for."""
        self.call_after_refresh(self._arrange)

    @property
    def is_bare(self) -> bool:
        """Before its first answer."""
        return not self.panels

    def on_condition(self) -> None:
        """The line below the charts says it."""
        if self.has_parts("#charts", "#charts-reading"):
            self._draw()
        super().on_condition()

    def on_online(self) -> None:
        """Look again where something was missing."""
        if self.is_bare or self.asking.error is not None:
            self._wake.now()

    def on_offline(self) -> None:
        """Say why nothing is there, where nothing is."""
        self.on_condition()

    def on_moment(self) -> None:
        """Up to the moment that the time cursor stands at."""
        self._until_s = None
        self._wake.now()

    def step(self) -> Step:
        """The line that opens it again."""
        return Step("charts" if self.crumb == "charts" else f"chart {self.subject.line}")

    def shell_command(self) -> str:
        """The same gauges over the same time."""
        until_s = self._until_s or self.console.moment
        subject = self.subject
        return metrics_command(subject.ids, subject.metrics, span_s=self._span_s, until_s=until_s)

    def facts_text(self) -> Text:
        """Of what, over which time, and of what the figures are made."""
        text = Text(f"{safe_line(str(self.subject))}  last {span_text(self._span_s)}")
        if self._until_s is not None:
            text.append(" up to the cursor (e: up to now)")
        if self.panels:
            text.append(f"  a point is {span_of_point(self.panels[0].step_s)}")
        hidden = len(self.subject.panels) - len(self._visible)
        if hidden > 0:
            text.append(f"  {len(self._visible)} of {len(self.subject.panels)} charts")
        return text

    def action_zoom(self, by: int) -> None:
        """A longer or shorter time; where the cursor stands stays in the middle."""
        before, self._range = self._range, min(len(RANGES_S) - 1, max(0, self._range + by))
        if before == self._range:
            return
        if self.cursor is not None and self.panels:
            until_s = self.panels[0].at(self.cursor) + self._span_s / 2
            self._until_s = until_s if until_s < self.now_s else None
        self.cursor = None
        self.redraw_frame()
        self._wake.now()

    def action_newest(self) -> None:
        """Follow the present again."""
        self._until_s = self.cursor = None
        self.redraw_frame()
        self._wake.now()

    def action_turn(self, by: int) -> None:
        """The charts for which there was no room."""
        count = len(self.subject.panels)
        self._first = (self._first + by) % count if len(self._visible) < count else 0
        self._arrange()

    def action_one(self) -> None:
        """The chart one is in alone, or all that fit."""
        focused = self.focused
        if not self._single and isinstance(focused, Chart) and focused.panel is not None:
            titles = [name.replace("_", " ") for name in self.subject.panels]
            self._first = titles.index(focused.panel.title)
        self._single = not self._single
        self._arrange()

    def action_band(self) -> None:
        """Least and most of each point too, or the means alone; of one node or task."""
        if not self.subject.may_have_band:
            self.notify("Least and most are drawn of one node or task alone.", markup=False)
            return
        self._has_band = not self._has_band
        self._wake.now()

    def words(self) -> Sequence[Word]:
        """Save what is drawn."""

        async def check(path: str) -> None:
            if Path(path).suffix not in ENDINGS:
                raise WordError(f"which form? a name that ends in {' or '.join(ENDINGS)}")

        about = f"the charts one sees as a new file: {' or '.join(ENDINGS)}"
        return [Word(name="save", about=about, argument="PATH", run=self._save, check=check)]

    async def _save(self, text: str) -> None:
        """Whole, and never over another file."""
        panels, is_csv = self._shown_panels(), text.endswith(".csv")
        written = csv_text(panels) if is_csv else svg_text(panels, title=f"{self.subject} {self.crumb}")
        try:
            path = await asyncio.to_thread(_write_new, text, written)
        except OSError as error:
            said = f"not saved: {error.strerror or error}"
            self.notify(safe_line(said), severity="error", markup=False)
        else:
            self.notify(safe_line(f"saved {path}: {len(written.encode()):,} bytes"), markup=False)

    def action_summary(self) -> None:
        """The charts one sees in words: newest, least, mean and most of each line."""

        async def load(_: Source) -> list[Line]:
            return [
                Line(f"{panel.title}  {line}") for panel in self._shown_panels() for line in summary(panel)
            ]

        self.app.push_screen(DocumentScreen(f"{self.subject} in words", load))

    def action_explain(self) -> None:
        """Events, tasks and nodes inside the peak under the cursor; without one, of the highest."""
        panel = self._chosen(self._shown_panels())
        index = None if panel is None else highest(panel) if self.cursor is None else self.cursor
        if panel is None or index is None:
            self.notify("Nothing was measured here that could be explained.", markup=False)
            return
        self.cursor = index
        self._draw()
        began_s, ended_s = extent(panel, index)
        self.app.push_screen(explain_spike(began_s, min(ended_s, self.now_s)))

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    @property
    def _span_s(self) -> float:
        return RANGES_S[self._range]

    @property
    def _visible(self) -> list[str]:
        """The names of the charts that there is room for, from the first one on."""
        names = list(self.subject.panels)
        turned = names[self._first :] + names[: self._first]
        return turned[: self._room()]

    def _columns(self) -> int:
        return 1 if self.size.width < 100 else 2 if self.size.width < 160 else 3

    def _room(self) -> int:
        if self._single:
            return 1
        rows = max(1, (self.size.height - 5) // CHART_LINES)
        return min(CHARTS_MAX, rows * self._columns(), len(self.subject.panels))

    def _arrange(self) -> None:
        """As many charts as fit, side by side."""
        if not self.is_mounted:
            return
        shown = len(self._visible)
        grid = self.query_one("#charts", Container)
        grid.styles.grid_size_columns = min(self._columns(), shown)
        for place, chart in enumerate(self.query(Chart)):
            chart.display = place < shown
        self._draw()
        self._wake.now()

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        while True:
            if self.is_current and self.is_online:
                await self._load()
            pause_s = self.panels[0].step_s if self.panels else RELOAD_MIN_S
            await self._wake.wait(min(RELOAD_MAX_S, max(RELOAD_MIN_S, pause_s)))

    async def _load(self) -> None:
        until_s = self._until_s or self.console.moment
        since_s = (until_s or self.now_s) - self._span_s
        source, visible = self.session.source, self._visible
        with self.asks():
            asked = queries(self.subject, visible, since_s=since_s, until_s=until_s, band=self._has_band)
            answers: Sequence[Measured] = await asyncio.gather(*(source.series(each) for each in asked))
            marks = await self._marks(source, since_s, until_s)
            before, self.panels = self.panels, panels_of(self.subject, visible, answers, marks)
            self._keep_cursor(before)
        self.on_condition()

    def _keep_cursor(self, before: Sequence[Panel]) -> None:
        """The charts went on: the cursor stays at its instant, as long as that is shown."""
        if self.cursor is None or not (before and self.panels):
            return
        index = round((before[0].at(self.cursor) - self.panels[0].since_s) / self.panels[0].step_s)
        self.cursor = min(max(index, 0), self.panels[0].count - 1) if self.panels[0].count else None

    async def _marks(self, source: Source, since_s: float, until_s: float | None) -> list[Mark]:
        """What went wrong, and when another order began to act; of a single node, what happened to it."""
        is_node = self.subject.kind is SeriesKind.NODE and len(self.subject.ids) == 1
        node = self.subject.ids[0] if is_node else None
        wanted = ("",) if is_node else ("severity>=error", "kind~scheduler_")
        asked = [
            EventList(filter=each, node=node, since=since_s, until=until_s, limit=MARKS_MAX)
            for each in wanted
        ]
        answers = await asyncio.gather(*map(source.events, asked))
        return marks_of([event for answer in answers for event in answer.events])

    def _shown_panels(self) -> list[Panel]:
        by_title = {panel.title: panel for panel in self.panels}
        return [by_title[title] for name in self._visible if (title := name.replace("_", " ")) in by_title]

    def _draw(self) -> None:
        panels = self._shown_panels()
        for chart, panel in zip(self.query(Chart), panels, strict=False):
            chart.show(panel, cursor=self.cursor)
        self.query_one("#charts-reading", OneLine).say(self._reading(panels))

    def _reading(self, panels: Sequence[Panel]) -> Text:
        if not panels:
            return Text(" " + "  ".join(filter(None, self.note("").splitlines())), no_wrap=True)
        if self.cursor is None:
            said = " ← → or a click: exact values   Enter: explain the peak   s: in words   m: one chart"
            return Text(said, no_wrap=True, overflow="ellipsis")
        chosen = self._chosen(panels)
        assert chosen is not None
        return Text(f" {reading(chosen, self.cursor)}", no_wrap=True, overflow="ellipsis")

    def _chosen(self, panels: Sequence[Panel]) -> Panel | None:
        """Of the chart one is in, else of the first."""
        focused = self.focused
        if isinstance(focused, Chart) and focused.panel in panels:
            return focused.panel
        return panels[0] if panels else None

    @on(Chart.Moved)
    def _on_moved(self, event: Chart.Moved) -> None:
        self.cursor = event.index
        self._draw()


def _write_new(name: str, text: str) -> Path:
    path = Path(name).expanduser()
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def span_of_point(step_s: float) -> str:
    """ "15 s", "2 m"."""
    return f"{step_s:g} s" if step_s < 60 else span_text(step_s)


def chart_of(line: str) -> ChartsScreen:
    """What the command line opens: "n1,n2 cpu,memory". Raises WordError."""
    return ChartsScreen(parse_subject(line))
