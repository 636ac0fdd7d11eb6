"""What changed between two moments, and what stands out in an interval: of a chart's peak, say."""

from __future__ import annotations

import time
from datetime import datetime

from tui.client.changes import all_changes
from tui.client.source import Source
from tui.screens.document import DocumentScreen
from tui.view.amounts import duration
from tui.view.instants import clock
from tui.view.lines import Line
from tui.view.moments import parse_moment
from tui.view.past_page import JOBS_SHOWN, changes_page, spike_page
from tui.view.shell import span_command
from tui.view.words import WordError

SPAN = ".."


class ChangesScreen(DocumentScreen):
    """From `since` to the time cursor, which may be now. `typed`: what it was made of by the clock here."""

    def __init__(self, since: float, *, crumb: str = "", typed: str = "") -> None:
        super().__init__(crumb or f"{duration(time.time() - since)} › changes", self._page)
        self._since_here, self._typed = since, typed
        self._known: float | None = None if typed else since

    @property
    def _since(self) -> float:
        """By the coordinator's clock, as it was when somebody looked first."""
        if self._known is None:
            try:
                self._known = _moment(self._typed, now_s=self.console.now_s)
            except WordError:  # to come, by that clock
                self._known = self._since_here
        return self._known

    def shell_command(self) -> str:
        """The same two moments."""
        return span_command("changes", self._since, self.console.moment)

    def on_moment(self) -> None:
        """Another end."""
        self._wake.now()

    async def _page(self, source: Source) -> list[Line]:
        return changes_page(
            await all_changes(source, self._since, self.console.moment, most=JOBS_SHOWN),
            now_s=self.console.now_s,
        )


class SpikeScreen(DocumentScreen):
    """What was otherwise in that interval than before it. `typed`: what it was made of by the clock here."""

    def __init__(self, since: float, until: float, *, typed: str = "") -> None:
        super().__init__(f"{clock(since)}{SPAN}{clock(until)} › spike", self._page)
        self._span_here, self._typed = (since, until), typed
        self._known: tuple[float, float] | None = None if typed else (since, until)

    @property
    def _span(self) -> tuple[float, float]:
        """By the coordinator's clock, as it was when somebody looked first."""
        if self._known is None:
            try:
                self._known = _interval(self._typed, now_s=self.console.now_s)
            except WordError:  # to come, by that clock
                self._known = self._span_here
            self.crumb = f"{clock(self._known[0])}{SPAN}{clock(self._known[1])} › spike"
        return self._known

    def shell_command(self) -> str:
        """The same interval."""
        return span_command("spike", *self._span)

    async def _page(self, source: Source) -> list[Line]:
        return spike_page(await source.spike(*self._span), now_s=self.console.now_s)


def explain_spike(since: float, until: float) -> DocumentScreen:
    """A chart's peak, say, explained."""
    return SpikeScreen(since, until)


def changes_since(text: str) -> ChangesScreen:
    """From a moment as people type it. Raises WordError."""
    return ChangesScreen(_moment(text, now_s=time.time()), typed=text)


def spike_of(text: str) -> DocumentScreen:
    """Of an interval: "14:00..14:10". Raises WordError."""
    return SpikeScreen(*_interval(text, now_s=time.time()), typed=text)


def _interval(text: str, *, now_s: float) -> tuple[float, float]:
    """Raises WordError."""
    since, sign, until = text.partition(SPAN)
    if not sign:
        raise WordError("which interval? FROM..TO: 14:00..14:10")
    began, ended = _moment(since, now_s=now_s), _moment(until, now_s=now_s)
    if began >= ended:
        raise WordError(f"{since} is not before {until}")
    return began, ended


def _moment(text: str, *, now_s: float) -> float:
    try:
        moment = parse_moment(text, now=datetime.fromtimestamp(now_s).astimezone())
    except ValueError:
        raise WordError(f"not a moment of the past: {text}") from None
    return now_s if moment is None else moment
