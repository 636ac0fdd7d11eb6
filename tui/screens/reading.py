"""What screens with panes of output have in common: the keys, and the lines one types for them."""

from __future__ import annotations

from functools import partial

from textual import on, work
from textual.binding import Binding

from bus.grep import Pattern
from tui.client.asking import patiently
from tui.client.session import Deltas
from tui.screens.live import LiveScreen
from tui.view.words import Word, WordError
from tui.widgets.log_pane import LogPane
from tui.widgets.log_reading import LogReading
from tui.widgets.prompt import Prompt

PATTERN_EXAMPLE = "words; * for anything between them"


class ReadingScreen(LiveScreen):
    """Keys go to `pane`: the one that has the focus."""

    BINDINGS = [
        Binding("escape", "back", "back", id="screen.back"),
        Binding("minus", "less_context", "fewer lines around them, or back", show=False, id="log.less"),
        Binding("plus,equals_sign", "more_context", "more lines around them", show=False, id="log.more"),
        Binding("f", "follow", "follow", id="log.follow"),
        Binding("slash", "find", "find", priority=True, id="text.find"),
        Binding("n", "find_next(True)", "next place", show=False, id="text.next"),
        Binding("N", "find_next(False)", "place before", show=False, id="text.previous"),
        Binding("ampersand,F", "filter", "filter", priority=True, id="log.filter"),
        Binding("t", "stamps", "times", id="log.times"),
        Binding("e", "streams", "streams", id="log.streams"),
        Binding("W", "wrap", "wrap long lines, or cut them", show=False, id="log.wrap"),
        Binding("a", "attempt", "the attempt before", show=False, id="log.attempt"),
        Binding("s", "save", "save to a file", show=False, id="log.save"),
        Binding("ctrl+r", "reload", "ask again now", show=False, id="log.reload"),
    ]

    _typed_for = ""

    @property
    def pane(self) -> LogPane | None:
        """The one that keys are for."""
        raise NotImplementedError

    def shell_command(self) -> str:
        """A line for each window that is open."""
        return "\n".join(pane.shell_command(at=self.console.moment) for pane in self.query(LogPane))

    def on_deltas(self, deltas: Deltas) -> None:
        """A task whose output is shown has changed."""
        if self.console.moment is not None:
            return
        for pane in self.query(LogPane):
            for change in deltas.tasks.values():
                if f"{change.job}.{change.index}" == pane.task_name:
                    pane.hear()

    def on_moment(self) -> None:
        """Another moment has other lines."""
        for pane in self.query(LogPane):
            pane.travel()
        self._note_arrival()

    def _note_arrival(self) -> None:
        if all(pane.is_as_wanted for pane in self.query(LogPane)):
            self.arrived()

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        if (pane := self.pane) is not None:
            pane.reload()

    def action_follow(self) -> None:
        """Stay at the end, or stop staying there."""
        if (pane := self.pane) is not None:
            pane.toggle_follow()

    def action_find_next(self, forward: bool) -> None:
        """The next place, or the one before; where nothing is looked for, from the past to now."""
        if (pane := self.pane) is not None and pane.view.needle:
            pane.find_next(forward=forward)
        elif forward and self.console.moment is not None:
            self.console.action_time_now()

    def action_stamps(self) -> None:
        """No times, by the clock, since the task's start."""
        if (pane := self.pane) is not None:
            pane.next_stamps()

    def action_streams(self) -> None:
        """Both, stdout, stderr, both."""
        if (pane := self.pane) is not None:
            pane.next_streams()

    def action_wrap(self) -> None:
        """Long lines wrap, or are cut."""
        if (pane := self.pane) is not None:
            pane.toggle_wrap()

    def action_attempt(self) -> None:
        """The attempt before this one; before the first comes the newest."""
        if (pane := self.pane) is not None and not pane.next_attempt():
            self.notify("It has run once only.", markup=False, timeout=3)

    def action_more_context(self) -> None:
        """One more line around each that matches."""
        if (pane := self.pane) is not None and not pane.change_context(1):
            self.notify("There is no filter: & shows only lines that match.", markup=False, timeout=3)

    def action_less_context(self) -> None:
        """One line fewer around each that matches; without a filter, back."""
        if (pane := self.pane) is None or not pane.change_context(-1):
            self.action_back()

    def action_find(self) -> None:
        """Type what to look for."""
        if (pane := self.pane) is not None:
            self._type("find", pane.view.needle, example=f"{PATTERN_EXAMPLE}; n next, N before")

    def action_filter(self) -> None:
        """Type what lines have to hold."""
        if (pane := self.pane) is not None:
            self._type("filter", pane.view.filter, example=f"only lines with these {PATTERN_EXAMPLE}")

    def action_save(self) -> None:
        """Type where to save it to."""
        if (pane := self.pane) is not None:
            self._type("save", f"{pane.task_name}.out", example="a file, or a folder")

    def action_back(self) -> None:
        """What is looked for is taken away first, then the filter."""
        pane = self.pane
        if pane is not None and pane.view.needle:
            pane.find("")
        elif pane is not None and pane.view.filter:
            pane.filter("")
        else:
            super().action_back()

    def _type(self, purpose: str, text: str, *, example: str) -> None:
        self._typed_for = purpose
        self.query_one(Prompt).open(text, example=example)

    async def on_typed(self, purpose: str, text: str) -> None:
        """Take what was typed for a purpose. Raises ValueError where it will not do."""
        if (pane := self.pane) is None:
            return
        if purpose in ("find", "filter") and text:
            Pattern(text)
        match purpose:
            case "find":
                pane.find(text)
            case "filter":
                pane.filter(text)
            case _ if text:
                pane.save(text)

    def words(self) -> list[Word]:
        """The same, for the command line."""

        async def check(pattern: str) -> None:
            try:
                Pattern(pattern)
            except ValueError as wrong:
                raise WordError(str(wrong)) from wrong

        return [
            Word(
                name="find",
                about="go to lines that hold these words",
                argument="WORDS",
                run=partial(self.on_typed, "find"),
                bare=self.action_find,
                check=check,
            ),
            Word(
                name="filter",
                about="only lines that hold these words",
                argument="WORDS",
                run=partial(self.on_typed, "filter"),
                bare=partial(self.on_typed, "filter", ""),
                check=check,
            ),
            Word(
                name="save",
                about="the whole output, byte for byte, into a file",
                argument="PATH",
                run=partial(self.on_typed, "save"),
                bare=self.action_save,
            ),
        ]

    @on(Prompt.Answered)
    def _on_answer(self, event: Prompt.Answered) -> None:
        self._try_typed(event.text)

    @work(exclusive=True, group="typed")
    async def _try_typed(self, text: str) -> None:
        """What is wrong with it is said in its place."""
        prompt = self.query_one(Prompt)
        try:
            await patiently(self.on_typed(self._typed_for, text), prompt.wait)
        except ValueError as wrong:
            prompt.complain(str(wrong))
            return
        prompt.display = False
        self._focus_pane()

    @on(Prompt.Closed)
    def _on_closed(self) -> None:
        self.workers.cancel_group(self, "typed")
        self._focus_pane()

    @on(LogReading.Changed)
    def _on_changed(self) -> None:
        self._note_arrival()
        self.redraw_frame()

    def _focus_pane(self) -> None:
        if (pane := self.pane) is not None:
            pane.log_view.focus()
