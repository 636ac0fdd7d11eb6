"""The output of one task, live until it ends: both streams, told apart by a mark and a colour."""

from __future__ import annotations

import asyncio

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.widget import Widget

from bus.errors import BusError, CorralError
from bus.follow import Place
from bus.values import Stream
from tui.screens.live import error_text
from tui.screens.searching import Searching
from tui.view.amounts import count
from tui.view.lines import Line, LineCutter
from tui.widgets.virtual_log import VirtualLog

RETRY_S = 1.0
TONES = {Stream.STDOUT: ("", " "), Stream.STDERR: ("warn", "!")}
CHOICES: tuple[tuple[Stream, ...], ...] = (
    (Stream.STDOUT, Stream.STDERR),
    (Stream.STDOUT,),
    (Stream.STDERR,),
)


class LogScreen(Searching):
    """`e` chooses the streams, `f` follows. After an outage it goes on where it was."""

    BINDINGS = [
        Binding("f", "follow", "follow", id="log.follow"),
        Binding("e", "streams", "stdout/stderr", id="log.streams"),
    ]

    def __init__(self, task: str) -> None:
        super().__init__()
        self._task_id = task
        self._choice = 0
        self._readings: dict[Stream, tuple[Place, LineCutter]] = {}
        self._word = "…"
        self.crumb = f"{task} › output"

    def body(self) -> list[Widget]:
        """Its lines."""
        return [VirtualLog(id="log", following=True)]

    def on_mount(self) -> None:
        """Start to follow."""
        self.log_view.focus()
        self._follow()

    def facts_text(self) -> Text:
        """Streams, how many lines, whether more will come, and what is looked for."""
        view = self.log_view
        streams = "+".join(CHOICES[self._choice])
        lines = f"{count(view.line_count)} lines" + (
            f" (first {count(view.dropped)} gone)" if view.dropped else ""
        )
        follow = "following" if view.following else "paused, f follows"
        text = Text(f"{streams}   {lines}   {self._word}   {follow}   ")
        text.append_text(super().facts_text())
        return text

    def action_follow(self) -> None:
        """Stay at the end, or stop staying there."""
        self.log_view.following = not self.log_view.following

    def action_streams(self) -> None:
        """Both, stdout, stderr, both."""
        self._choice = (self._choice + 1) % len(CHOICES)
        self._follow()

    @on(VirtualLog.Scrolled)
    def _on_scrolled(self) -> None:
        self.redraw_frame()

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        """Until the task is over; an outage is waited out."""
        self.log_view.clear()
        self._readings = {
            stream: (Place(), LineCutter(tone=TONES[stream][0], mark=TONES[stream][1]))
            for stream in CHOICES[self._choice]
        }
        self._say("○ reading")
        while True:
            refusal: CorralError | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for stream in self._readings:
                        group.create_task(self._read(stream), name=f"follow {stream}")
            except* BusError:
                self._say("◐ no connection")
            except* CorralError as refused:
                refusal = first_of(refused)
                self._say(f"✖ {error_text(refusal)}")
            else:
                self._say("■ ended" if self.log_view.line_count else "■ ended without a word here")
                return
            if refusal is not None:
                return
            self.session.hurry()
            await asyncio.sleep(RETRY_S)

    async def _read(self, stream: Stream) -> None:
        place, cutter = self._readings[stream]
        async for piece in self.session.source.follow(self._task_id, stream=stream, place=place):
            self._word = "● live"
            self._show(cutter.feed(piece))
        self._show(cutter.feed(b"", final=True))

    def _show(self, lines: list[Line]) -> None:
        self.log_view.extend(lines)
        self.redraw_frame()

    def _say(self, word: str) -> None:
        self._word = word
        self.redraw_frame()


def first_of(group: BaseExceptionGroup[CorralError]) -> CorralError:
    """The first error inside."""
    inner = group.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner
