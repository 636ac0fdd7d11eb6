"""What there is to know about the row under the cursor, beside its list: details, output, why, events.

On a tall screen one of them stands below the table; where it is wide as well, details or why, the end of the
output and the events stand beside it. What nobody sees is not asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical

from bus.errors import CorralError
from bus.values import Stream
from tui.client.asking import Asking
from tui.client.source import Source
from tui.ticking import Ticking
from tui.view.facts import why_facts
from tui.view.happenings import event_line
from tui.view.lines import Line, LineCutter
from tui.view.refusals import Trouble, trouble_of, waiting_text
from tui.view.safe import safe_line, text_width
from tui.view.subjects import Subject
from tui.widgets.one_line import Link, OneLine
from tui.widgets.virtual_log import VirtualLog

if TYPE_CHECKING:
    from tui.client.then import Then


RESTED_S = 0.3
"""Nothing is asked about a row that the cursor only passes."""

EVERY_S = 3.0
TICK_S = 1
TAIL_BYTES = 16_384
BESIDE = "#title-output, #pane-output, #title-events, #pane-events"
TABS = ("details", "output", "why", "events")


class Panes(Vertical):
    """`source` gives the cluster, or None while nothing should be asked of it; `explain` what went wrong."""

    def __init__(
        self,
        source: Callable[[], Source | None],
        explain: Callable[[CorralError], Trouble] = trouble_of,
        *,
        first: str = "details",
    ) -> None:
        super().__init__(id="panes", classes="-details -empty -outputless -alone")
        self._source = source
        self._explain = explain
        self._asking: dict[str, Asking] = {}
        self._first = first
        self._tab = TABS[0]
        self._subject: Subject | None = None
        self._moment: float | None = None

    def compose(self) -> ComposeResult:
        """Each pane under its title."""
        yield OneLine(id="tabs")
        yield VirtualLog(id="preview")
        yield VirtualLog(id="pane-why")
        yield OneLine(id="title-output", classes="pane-title")
        yield VirtualLog(id="pane-output", following=True)
        yield OneLine(id="title-events", classes="pane-title")
        yield VirtualLog(id="pane-events")

    def on_mount(self) -> None:
        """They are looked at, not gone into."""
        for pane in self.query(VirtualLog):
            pane.can_focus = False
        assert isinstance(self.app, Ticking)
        self.app.every(self, TICK_S, self._draw_titles)
        self._draw_titles()

    @property
    def tab(self) -> str:
        """The one that is chosen."""
        return self._tab

    def choose(self, tab: str) -> None:
        """Show it, where only one is shown."""
        self.remove_class(f"-{self._tab}")
        self._tab = tab
        self.add_class(f"-{tab}")
        self._draw_titles()
        self._keep()

    def choose_next(self) -> None:
        """The tab at the right of the chosen one, going round; where nothing can be asked, there is one."""
        if self._subject is not None:
            self.choose(TABS[(TABS.index(self._tab) + 1) % len(TABS)])

    def show(self, details: Sequence[Line], subject: Subject | None) -> None:
        """What is known already of the row under the cursor, and what may be asked about it."""
        self._pane("preview").replace(details)
        has_output = subject is not None and bool(subject.output)
        self._classify(alone=subject is None, outputless=not has_output)
        if subject != self._subject:
            self._subject = subject
            self._asking = {name: Asking() for name in LOADS}
            for name in TABS[1:]:
                self._pane(f"pane-{name}").show([])
            self._pane("pane-output").following = True
            self._draw_titles()
            self._keep()

    def _classify(self, *, alone: bool, outputless: bool) -> None:
        """What is of no use to this row goes, where several stand side by side.

        Textual would style all that is in here anew, seventy styles, for each row that differs from the last.
        """
        before = self.classes
        self.update_classes({"-alone": alone, "-outputless": outputless}, update=False)
        if before != self.classes and self.screen.has_class("-wide", "-tall"):
            for one in self.query(BESIDE):
                one.update_node_styles(animate=False)

    def look_at(self, moment: float | None) -> None:
        """Tell of that moment instead; None is now."""
        self._moment = moment
        for name in TABS[1:]:
            self._pane(f"pane-{name}").show([])
        self._keep()

    def on_resize(self) -> None:
        """Others may be seen now."""
        self._keep()

    @work(exclusive=True, group="panes")
    async def _keep(self) -> None:
        """Ask about the row for as long as it is looked at; each pane waits for its own answer alone."""
        await asyncio.sleep(RESTED_S)
        panes = {name: pane for name in LOADS for pane in self.query(f"#pane-{name}").results(VirtualLog)}
        # on their way out they go one by one
        if (subject := self._subject) is not None and len(panes) == len(LOADS):
            async with asyncio.TaskGroup() as group:
                for name, pane in panes.items():
                    group.create_task(self._keep_pane(name, pane, subject), name=f"pane {name}")

    async def _keep_pane(self, name: str, pane: VirtualLog, subject: Subject) -> None:
        from tui.client.then import Then

        asking = self._asking[name]
        lines: list[Line] = []
        while True:
            source = self._source()
            if source is not None and self.display and pane.is_on_screen:
                try:
                    with asking.under_way():
                        lines = await LOADS[name](Then(source, self._moment), subject)
                    pane.show(lines)
                except CorralError as error:
                    fault = self._explain(error)
                    pane.show([Line(fault.what, "bad", "✖"), Line(fault.help, "idle"), Line(""), *lines])
            await asyncio.sleep(EVERY_S)

    def _pane(self, id: str) -> VirtualLog:
        return self.query_one(f"#{id}", VirtualLog)

    def _waiting(self, name: str) -> str:
        """How long that pane waits for its answer."""
        asking = self._asking.get(name)
        return "" if asking is None else waiting_text(asking.waited_s)

    def _draw_titles(self) -> None:
        text, links = Text(" ", no_wrap=True, overflow="ellipsis"), []
        for tab in TABS if self._subject is not None or self._tab != TABS[0] else TABS[:1]:
            words = self._first if tab == TABS[0] else tab
            links.append(Link(text.cell_len, text.cell_len + text_width(words), f"screen.pane('{tab}')"))
            text.append(words, style="bold reverse" if tab == self._tab else "")
            text.append("  ")
        text.append(self._waiting(self._tab), style="bold")
        self.query_one("#tabs", OneLine).say(text, links=links)
        about = safe_line(self._subject.name) if self._subject is not None else ""
        for name in ("output", "events"):
            said = Text(f" {name}  {about}  {self._waiting(name)}", no_wrap=True)
            self.query_one(f"#title-{name}", OneLine).say(said)


async def _why(then: Then, subject: Subject) -> list[Line]:
    if not subject.why:
        return [Line("Why is told of jobs and tasks.", "idle")]
    return why_facts(await then.why(subject.why))


async def _output(then: Then, subject: Subject) -> list[Line]:
    """The end of what it printed."""
    if not subject.output:
        return [Line("One task's output is shown: Enter leads to the tasks.", "idle")]
    source = then.logs
    size = (await source.logs(subject.output, limit=1)).size
    offset = max(0, size - TAIL_BYTES)
    tail = await source.logs(subject.output, stream=Stream.STDOUT, offset=offset)
    lines = LineCutter(offset=offset).feed(tail.data, final=True)
    if offset:
        del lines[:1]  # it begins in the middle
    return lines or [Line("Nothing printed yet." if not tail.ended else "It printed nothing.", "idle")]


async def _events(then: Then, subject: Subject) -> list[Line]:
    now_s = then.now_s
    answer = await then.events(subject.events)
    return [event_line(event, now_s=now_s) for event in answer.events] or [Line("Nothing happened.", "idle")]


LOADS: dict[str, Callable[[Then, Subject], Awaitable[list[Line]]]] = {
    "why": _why,
    "output": _output,
    "events": _events,
}
"""How each pane is asked for."""
