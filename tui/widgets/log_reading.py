"""Reading one task's output for a pane: opening it anywhere, following its end, more where one scrolls to.

The reading keeps a `LogWindow`; what is live is painted at most ten times a second. One worker at a time
reads on; another takes single steps back and forth. An outage is waited out, a node that is away as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text
from textual import on, work
from textual.containers import Vertical
from textual.message import Message
from textual.worker import Worker

from bus.api import Task
from bus.errors import ApiError, BusError, CorralError, RequestTimeout
from bus.follow import Place
from bus.values import Stream
from tui.client.asking import Asking
from tui.client.log_filter import LogFilter
from tui.client.log_window import STREAM_OF_MARK, LogWindow, Spot
from tui.client.source import LogSource, Source
from tui.client.then import Then
from tui.view.lines import Line
from tui.view.log_facts import known_without_node
from tui.view.refusals import error_text, trouble_of
from tui.view.safe import safe_line
from tui.view.stamps import Stamps
from tui.widgets.one_line import OneLine
from tui.widgets.virtual_log import VirtualLog

if TYPE_CHECKING:
    from tui.app import Console

RETRY_S = 1.0
AWAY_RETRY_S = 5.0
PAINT_S = 0.1
NEAR_LINES = 100
"""So near to the edge of what is held, more is asked for."""

UNOPENED = -1
"""No attempt: what is held is not what is wanted."""

BOTH = (Stream.STDOUT, Stream.STDERR)


class View(Struct, frozen=True):
    """How somebody looks at an output; attempt 0 is the newest."""

    streams: tuple[Stream, ...] = BOTH
    attempt: int = 0
    needle: str = ""
    filter: str = ""
    context: int = 0


class LogReading(Vertical):
    """`task` is its name ("1042.7"). Posts `Changed` where what its title says has changed."""

    class Changed(Message):
        """Something is to be said differently of this pane."""

        def __init__(self, pane: LogReading) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, task: str, *, classes: str = "") -> None:
        super().__init__(classes=classes)
        self.task_name = task
        self._view = View()
        self._window = LogWindow(task, streams=BOTH)
        self._filter: LogFilter | None = None
        self._shown: Task | None = None
        self._word = "○ reading"
        self._asking = Asking()
        self._stamps = Stamps.NONE
        self._pending: list[Line] = []
        self._paints = False
        self._lines_came = 0
        self._opened = 0
        self._is_opening = False
        self._moment: float | None = None
        self._is_travelling = False
        self._then: Then | None = None

    @property
    def log_view(self) -> VirtualLog:
        """The lines."""
        return self.query_one("#log", VirtualLog)

    def facts(self) -> Text:
        """What the title says."""
        raise NotImplementedError

    @property
    def view(self) -> View:
        """How one looks at it."""
        return self._view

    @property
    def is_as_wanted(self) -> bool:
        """Whether what is shown is of the moment that the time cursor stands at."""
        return self._moment == self._corral.moment and not self._is_travelling

    def travel(self) -> None:
        """Show the moment of the time cursor instead: at its end, for that is what there was."""
        if self._moment != self._corral.moment:
            self._is_travelling, self._opened = True, UNOPENED
            self._then = Then(self._source, self._corral.moment)
            self._moment = self._corral.moment
            self._view = replace(self._view, attempt=0)
            self._window = LogWindow(self.task_name, streams=self._view.streams)
            self._read()

    def reload(self) -> None:
        """Ask again now, from where one is."""
        self._then = Then(self._source, self._moment)
        self._read(None if self.log_view.following else self._spot())

    @property
    def _corral(self) -> Console:
        return cast("Console", self.app)

    @property
    def _source(self) -> Source:
        return self._corral.session.source

    @property
    def _past(self) -> Then:
        """The cluster of the moment that is shown."""
        if self._then is None:
            self._then = Then(self._source, self._moment)
        return self._then

    @property
    def _logs(self) -> LogSource:
        """What had been printed by then, or is by now."""
        return self._past.logs

    def _spot(self, *, or_top: bool = False) -> Spot | None:
        """The first line one sees; with `or_top`, the line one went to comes before it."""
        view = self.log_view
        index = view.here if or_top and view.here is not None else view.window[0]
        lines = view.lines[index : index + 2]
        line = next((each for each in lines if each.offset >= 0), None)
        return None if line is None else Spot(STREAM_OF_MARK.get(line.mark, Stream.STDOUT), line.offset)

    @work(exclusive=True, group="read")
    async def _read(self, spot: Spot | None = None) -> None:
        """Until the task is over; an outage is waited out."""
        self._say("○ reading")
        self._is_opening = False  # whoever was, was ended by this
        while True:
            wait_s = RETRY_S
            try:
                if self._view.filter:
                    await self._read_filtered()
                else:
                    self._filter = None
                    with self._asking.under_way():
                        await self._open(spot)
                    await self._follow_on()
            except BusError as error:
                self._say_lost(error)
                self._corral.session.hurry()
            except CorralError as refused:
                self._say(f"✖ {safe_line(error_text(refused))}")
                if not is_away(refused):
                    self._show_refused(refused)
                    return
                await self._show_known()
                wait_s = AWAY_RETRY_S
            else:
                self._is_travelling = False
                self._tell_changed()
                return
            self._is_travelling = False
            spot = None if self.log_view.following else spot or self._spot()
            await asyncio.sleep(wait_s)

    async def _open(self, spot: Spot | None) -> None:
        """Hold what is to be seen: where one was, or the end."""
        view, held = self._view, self._window
        is_same = held.attempt > 0 and self._opened == view.attempt and tuple(held.reaches) == view.streams
        if is_same and spot is not None and held.index_of(spot) is not None:
            self._show_window(spot)
            return
        if is_same and spot is None and held.lines and held.is_at_end and not self._filter:
            self.log_view.show(held.lines, rests=held.rests)
            return  # after an outage it goes on where it was
        self._window = LogWindow(self.task_name, streams=view.streams, attempt=view.attempt)
        self._opened = view.attempt
        await self._load_task()
        if spot is None:
            await self._window.open_end(self._logs)
            self.log_view.show(self._window.lines, rests=self._window.rests)
        else:
            await self._window.open_at(self._logs, spot)
            self._show_window(spot)

    def _show_window(self, spot: Spot) -> None:
        self.log_view.show(self._window.lines, first=self._window.index_of(spot))

    async def _follow_on(self) -> None:
        """What comes from here on, while one is at the end."""
        window = self._window
        # what is printed fast has grown by the time its end is here: following catches up
        is_below = not window.is_at_end and not self.log_view.following
        if window.ended or is_below or (self._view.attempt and self._is_older()):
            self._say(self._ended_word if window.ended or self._is_older() else "‖ further below")
            return
        self._say("● live")
        try:
            async with asyncio.TaskGroup() as group:
                for stream in window.reaches:
                    group.create_task(self._follow(window, stream), name=f"follow {stream}")
        except ExceptionGroup as group_of:
            error = first_of(group_of)
            if isinstance(error, HeldBack):
                self._say("‖ paused, G goes on")
                return
            raise error from None
        self._flush()
        self._say("■ ended" if window.lines else "■ ended without a word here")

    @property
    def _ended_word(self) -> str:
        return "■ ended" if self._moment is None else "■ as it was then"

    def _is_older(self) -> bool:
        return self._shown is not None and 0 < self._window.attempt < self._shown.fence

    async def _follow(self, window: LogWindow, stream: Stream) -> None:
        place = Place(window.attempt, window.reaches[stream].end)
        async for piece in self._source.pieces(self.task_name, stream=stream, place=place):
            if piece.attempt > window.attempt:
                window.take(stream, piece)
                self._pending = []
                self.log_view.show(window.lines, rests=window.rests)
                self._look_up_task()
                continue
            self._gather(window.take(stream, piece))
            if window.is_full and not self.log_view.following:
                raise HeldBack
        self._gather(window.finish(stream))

    def _gather(self, lines: list[Line]) -> None:
        self._pending += lines
        self._lines_came += len(lines)
        if not self._paints:
            self._paints = True
            self.set_timer(PAINT_S, self._flush)

    def _flush(self) -> None:
        """Paint what came."""
        self._paints = False
        if self._filter is not None:
            return
        fresh, self._pending = self._pending, []
        if self.log_view.following and self._window.trim():
            self.log_view.show(self._window.lines, rests=self._window.rests)
        else:
            self.log_view.extend(fresh, rests=self._window.rests)
        self._tell_changed()

    async def _read_filtered(self) -> None:
        """Pages of matching lines, and later ones while the task prints more."""
        view = self._view
        found = LogFilter(
            self.task_name,
            view.filter,
            streams=view.streams,
            attempt=view.attempt or self._window.attempt,
            context=view.context,
        )
        self._filter = found
        self.log_view.clear()
        while not (found.complete or found.is_full):
            with self._asking.under_way():
                fresh = await found.more(self._logs)
            self.log_view.extend(fresh)
            self._say("○ searching" if not found.over else "● live")
            if found.over and not found.complete:
                await asyncio.sleep(RETRY_S)
        self._say(self._ended_word if found.complete else "‖ too many: look for something else")

    @work(exclusive=True, group="read")
    async def _go_to_begin(self) -> None:
        """The true first line, however much lies before what is held."""
        window = LogWindow(self.task_name, streams=self._view.streams, attempt=self._window.attempt)
        if await self._tried(window.open_begin(self._logs)):
            self._window, self._pending = window, []
            self.log_view.show(window.lines, first=0, rests=window.rests)
            if window.is_at_end and not window.ended:
                self._read(self._spot())
            else:
                self._say(self._ended_word if window.is_at_end else "‖ further below")
        self._is_opening = False

    @work(exclusive=True, group="step")
    async def _step(self, *, back: bool) -> None:
        """More of what lies before, or behind, what is held."""
        window = self._window
        step = window.step_back(self._logs) if back else window.step_on(self._logs)
        if not await self._tried(step) or window is not self._window or self._is_opening:
            return
        self._pending = []
        self.log_view.show(window.lines, rests=window.rests)
        if back and not window.is_at_end:
            self.workers.cancel_group(self, "read")
            self._say("‖ further below")
        elif not back and window.is_at_end and not window.ended:
            self._read()

    async def _tried(self, asking: Awaitable[object]) -> bool:
        """Whether it was answered; what was wrong is said."""
        try:
            with self._asking.under_way():
                await asking
        except BusError as error:
            self._say_lost(error)
        except CorralError as refused:
            self._say(f"✖ {safe_line(error_text(refused))}")
        else:
            return True
        return False

    @on(VirtualLog.TopWanted)
    def _on_top_wanted(self) -> None:
        if self._filter is None and not self._window.is_at_begin:
            self._is_opening = True  # what scrolls meanwhile asks for nothing
            self._go_to_begin()

    @on(VirtualLog.Scrolled)
    def _on_scrolled(self) -> None:
        view, window = self.log_view, self._window
        first, last = view.window
        is_reading = any(worker.group in ("read", "step") for worker in self._busy())
        if self._filter is None and view.line_count and not self._is_opening:
            if first < NEAR_LINES and not view.following and not window.is_at_begin:
                if not any(worker.group == "step" for worker in self._busy()):
                    self._step(back=True)
            elif not is_reading and view.following and not (window.is_at_end and window.ended):
                self._read()
            elif not is_reading and last > view.line_count - NEAR_LINES and not window.is_at_end:
                self._step(back=False)
        self._tell_changed()

    def _busy(self) -> list[Worker[object]]:
        return [worker for worker in self.workers if worker.node is self and not worker.is_finished]

    async def _load_task(self) -> None:
        self._shown = await self._past.task(self.task_name)
        self.log_view.stamp(self._stamps, since_s=self._since_s())

    @work(exclusive=True, group="task")
    async def _look_up_task(self) -> None:
        if await self._tried(self._load_task()):
            self._go_on()
            self._tell_changed()

    def _go_on(self) -> None:
        """What had ended has another attempt: who follows goes on with it, to others it is offered."""
        shown, window = self._shown, self._window
        if shown is None or self._view.attempt or self._filter is not None:
            return
        if window.ended and self._is_older():
            window.reopen()
            if self.log_view.following:
                self._read()
            else:
                self._say(f"■ ended, f goes on with attempt {shown.fence}")

    def _since_s(self) -> float:
        """When the attempt began that one looks at."""
        if self._shown is None:
            return 0.0
        begun = {attempt.fence: attempt.started_at for attempt in self._shown.attempts}
        return begun.get(self._window.attempt) or self._shown.started_at or self._shown.submitted_at

    async def _show_known(self) -> None:
        """What the coordinator knows of an output whose node is away."""
        if not self._window.lines and await self._tried(self._load_task()) and self._shown is not None:
            said = self._word
            self.log_view.show(known_without_node(self._shown))
            self._say(said)

    def _show_refused(self, error: CorralError) -> None:
        """Why nothing is there, where nothing is, and which key helps."""
        if not self._window.lines:
            online = self._corral.online
            fault = trouble_of(error, me=None if online is None else online.me)
            self.log_view.show([Line(fault.what, "bad", "✖"), Line(""), Line(f"{fault.help}.", "idle")])

    def _say_lost(self, error: BusError) -> None:
        """A connection that is gone, or one question that has no answer while others have."""
        is_alone = isinstance(error, RequestTimeout) and self._corral.offline is None
        self._say("◐ no answer in time, asked again soon" if is_alone else "◐ no connection")

    def _say(self, word: str) -> None:
        self._word = word
        self._tell_changed()

    def _tell_changed(self) -> None:
        if self.is_mounted:
            self.query_one("#title", OneLine).say(self.facts())
            self.post_message(self.Changed(self))


class HeldBack(Exception):
    """Nobody looks at the end, and there is no more room: what comes is asked for later."""


def first_of(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first error inside."""
    inner = group.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner


def is_away(refused: CorralError) -> bool:
    """Whether it may be answered later: the node that keeps the output is away."""
    return isinstance(refused, ApiError) and refused.error.retryable
