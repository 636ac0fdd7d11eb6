"""One task's output in a window of its own: followed, looked through, filtered, dated, saved."""

from __future__ import annotations

from rich.text import Text
from textual import work
from textual.app import ComposeResult

from bus.errors import CorralError
from bus.grep import CONTEXT_MAX, LogGrep, Pattern
from bus.values import Stream
from tui.client.log_saving import save_log, saving_path
from tui.client.log_window import LogWindow, Spot
from tui.view.log_facts import PaneFacts, facts_of, rate_text
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line
from tui.view.shell import logs_command
from tui.view.stamps import Stamps
from tui.widgets.log_reading import BOTH, LogReading, View
from tui.widgets.one_line import OneLine
from tui.widgets.virtual_log import VirtualLog

RATE_S = 1.0
CHOICES: tuple[tuple[Stream, ...], ...] = (BOTH, (Stream.STDOUT,), (Stream.STDERR,))


class LogPane(LogReading):
    """What keys of a screen have it do; words that one types come from there as well."""

    DEFAULT_CSS = """
    LogPane { height: 1fr; }
    LogPane > #title {
        height: 1; background: $surface; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis;
    }
    LogPane:focus-within > #title { background: $primary-muted; color: $foreground; }
    LogPane.-alone > #title { display: none; }
    LogPane:nocolor:focus-within > #title { text-style: bold reverse; }
    """

    def __init__(self, task: str, *, classes: str = "") -> None:
        super().__init__(task, classes=classes)
        self.pinned = False
        self._number = 0
        self._found = ""
        self._rate = 0.0
        self._was_waiting = False

    def compose(self) -> ComposeResult:
        """A title, and the lines."""
        yield OneLine(id="title")
        yield VirtualLog(id="log", following=True)

    def on_mount(self) -> None:
        """Begin to read, at the end."""
        self.set_interval(RATE_S, self._measure)
        self._moment = self._corral.moment
        self._read()

    def facts(self) -> Text:
        """What the title says."""
        view = self.log_view
        last = view.window[1]
        looked_at = view.lines[last - 1] if 0 < last <= view.line_count else None
        return facts_of(
            PaneFacts(
                task="" if self.has_class("-alone") else self._title_name(),
                node=self._window.node,
                state=None if self._shown is None else self._shown.state,
                attempt=self._window.attempt,
                attempts=0 if self._shown is None else self._shown.fence,
                streams=self._view.streams,
                size=self._window.size,
                share=None if looked_at is None else self._window.share(looked_at),
                word=waiting_text(self._asking.waited_s) or self._word,
                following=view.following,
                past=self._moment is not None,
                rate=rate_text(self._rate),
                found=self._found,
                filter=self._filter_text(),
                pinned=self.pinned,
            )
        )

    def _title_name(self) -> str:
        return f"{self._number} {self.task_name}" if self._number else self.task_name

    def shell_command(self, *, at: float | None) -> str:
        """The command that prints the same lines."""
        view = self._view
        return logs_command(
            self.task_name,
            streams=view.streams,
            attempt=view.attempt,
            words=view.filter,
            context=view.context,
            stamps=self._stamps is not Stamps.NONE,
            follow=self.log_view.following,
            at=at,
        )

    def name_window(self, number: int) -> None:
        """By which number it is called; 0 where it is the only one."""
        if self._number != number:
            self._number = number
            self._tell_changed()

    def pin(self) -> None:
        """Keep it when others are opened, or do not."""
        self.pinned = not self.pinned
        self._tell_changed()

    def _filter_text(self) -> str:
        if self._filter is None:
            return ""
        context = f" ±{self._filter.context}" if self._filter.context else ""
        more = "" if self._filter.over else f", {self._filter.share:.0%} looked through"
        full = ", no further" if self._filter.is_full and not self._filter.over else ""
        return f"[&{self._filter.pattern}{context}] {self._filter.matches} lines{more}{full}"

    def toggle_follow(self) -> None:
        """Stay at the end, or stop staying there."""
        self.log_view.following = not self.log_view.following

    def toggle_wrap(self) -> None:
        """Long lines wrap, or are cut."""
        self.log_view.wrap(not self.log_view.wraps)

    def next_stamps(self) -> None:
        """No times, by the clock, since its start."""
        self._stamps = self._stamps.next
        self.log_view.stamp(self._stamps, since_s=self._since_s())
        self._tell_changed()

    def next_streams(self) -> None:
        """Both, stdout, stderr, both."""
        place = CHOICES.index(self._view.streams) if self._view.streams in CHOICES else 0
        self._look(streams=CHOICES[(place + 1) % len(CHOICES)])

    def next_attempt(self) -> bool:
        """The attempt before the one shown, and after the first the newest. False where there is but one."""
        newest = 0 if self._shown is None else self._shown.fence
        if newest < 2:
            return False
        shown = self._view.attempt or newest
        self._look(attempt=shown - 1 if shown > 1 else 0)
        return True

    def filter(self, pattern: str) -> None:
        """Only lines that match; "" shows all again, at the same place."""
        if pattern != self._view.filter:
            self._look(filter=pattern)

    def change_context(self, lines: int) -> bool:
        """More lines around those that match, or fewer. False where there is no filter."""
        if not self._view.filter:
            return False
        context = max(0, min(CONTEXT_MAX, self._view.context + lines))
        if context != self._view.context:
            self._look(context=context)
        return True

    def find(self, needle: str) -> None:
        """Mark these words, and go to their first place from here on; "" takes the marks away."""
        self._view = View(
            self._view.streams, self._view.attempt, needle, self._view.filter, self._view.context
        )
        self._found = ""
        self.log_view.mark(needle)
        if needle:
            self._seek(True, self.log_view.window[0] - 1)
        self._tell_changed()

    def find_next(self, *, forward: bool) -> None:
        """The next place of what was looked for, or the one before; beyond what is held, too."""
        if self._view.needle:
            view = self.log_view
            self._seek(forward, view.window[0] if view.here is None else view.here)

    def hear(self) -> None:
        """The feed says that its task changed."""
        self._look_up_task()

    def save(self, words: str) -> None:
        """Write what one looks at, whole and byte for byte, to a file."""
        self._save(words)

    def _look(
        self,
        *,
        streams: tuple[Stream, ...] | None = None,
        attempt: int | None = None,
        filter: str | None = None,
        context: int | None = None,
    ) -> None:
        """Look differently, at the same place where that is the same output."""
        old = self._view
        self._view = View(
            old.streams if streams is None else streams,
            old.attempt if attempt is None else attempt,
            old.needle,
            old.filter if filter is None else filter,
            old.context if context is None else context,
        )
        spot = None if attempt is not None or self.log_view.following else self._spot(or_top=True)
        if spot is not None and spot.stream not in self._view.streams:
            spot = None
        self._read(spot)

    @work(exclusive=True, group="seek")
    async def _seek(self, forward: bool, start: int) -> None:
        """The next line that matches: here, else where the coordinator finds one, else from the other end."""
        view, pattern = self.log_view, Pattern(self._view.needle)
        order = range(start + 1, view.line_count) if forward else range(start - 1, -1, -1)
        index = next((each for each in order if pattern.matches(view.lines[each].text)), None)
        window = self._window
        if index is None and self._filter is None and not (window.is_at_begin and window.is_at_end):
            self._found = "looking …"
            self._tell_changed()
            await self._tried(self._seek_beyond(forward))
            return
        if index is None:  # round
            order = range(view.line_count) if forward else range(view.line_count - 1, -1, -1)
            index = next((each for each in order if pattern.matches(view.lines[each].text)), None)
        self._arrive(index)

    async def _seek_beyond(self, forward: bool) -> None:
        for stream, reach in self._window.reaches.items():
            offset, over = (reach.end if forward else reach.begin), False
            while not over:
                answer = await self._logs.grep(
                    LogGrep(
                        task=self.task_name,
                        pattern=self._view.needle,
                        stream=stream,
                        attempt=self._window.attempt,
                        offset=offset,
                        backward=not forward,
                        limit=1,
                    )
                )
                if answer.lines and (match := answer.lines[0].match) is not None:
                    await self._go_to(Spot(stream, match))
                    return
                offset, over = answer.next, answer.over
        self._found = "nothing further " + ("below" if forward else "above")
        self._tell_changed()

    async def _go_to(self, spot: Spot) -> None:
        window = LogWindow(self.task_name, streams=self._view.streams, attempt=self._window.attempt)
        await window.open_at(self._logs, spot)
        self.workers.cancel_group(self, "read")
        self._window, self._pending = window, []
        self.log_view.following = False
        self.log_view.show(window.lines)
        self._say("‖ further below")
        self._arrive(window.index_of(spot))

    def _arrive(self, index: int | None) -> None:
        self._found = "nowhere" if index is None else ""
        if index is not None:
            self.log_view.look_at(index)
        self._tell_changed()

    @work(group="save")
    async def _save(self, words: str) -> None:
        for stream in self._view.streams:
            path = saving_path(words, task=self.task_name, stream=stream)
            try:
                written = await save_log(
                    self._logs,
                    self.task_name,
                    stream=stream,
                    attempt=self._view.attempt or self._window.attempt,
                    path=path,
                    told=self._tell_saved,
                )
            except (OSError, CorralError) as error:
                wrong = str(error) if isinstance(error, OSError) else error_text(error)
                self.notify(safe_line(wrong), severity="error", markup=False, timeout=10)
                return
            self.notify(safe_line(f"✔ {path}: {written:,} bytes"), markup=False)
        self._found = ""
        self._tell_changed()

    def _tell_saved(self, written: int, size: int) -> None:
        self._found = f"saving {written / size:.0%}" if size else ""
        self._tell_changed()

    def _measure(self) -> None:
        came, self._lines_came = self._lines_came, 0
        rate = came / RATE_S
        is_waiting = self._asking.waited_s > 0
        if rate != self._rate or is_waiting or self._was_waiting:
            self._rate, self._was_waiting = rate, is_waiting
            self._tell_changed()
