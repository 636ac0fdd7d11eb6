"""The output of one task, live until it ends."""

from __future__ import annotations

from textual import work
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Log, Static

from bus.errors import CorralError
from bus.values import Stream
from tui.screens.live import LiveScreen
from tui.view.safe import SafeStream, safe_line

LINES_MAX = 10_000


class LogScreen(LiveScreen):
    """`e` turns to the other stream. Only the last LINES_MAX lines are kept."""

    BINDINGS = [
        Binding("escape,minus", "app.pop_screen", "back"),
        Binding("e", "other_stream", "stdout/stderr"),
    ]

    def __init__(self, task: str) -> None:
        super().__init__()
        self._task_id = task
        self._stream = Stream.STDOUT

    def body(self) -> list[Widget]:
        """Which stream of which task, and its lines."""
        return [
            Static("", classes="title", markup=False, id="log-title"),
            Log(max_lines=LINES_MAX, id="log"),
        ]

    def on_mount(self) -> None:
        """Start to follow."""
        self.query_one("#log").focus()
        self._follow()

    def action_other_stream(self) -> None:
        """From stdout to stderr and back."""
        self._stream = Stream.STDERR if self._stream is Stream.STDOUT else Stream.STDOUT
        self._follow()

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        log, safe = self.query_one("#log", Log), SafeStream()
        log.clear()
        self._say("following")
        try:
            async for piece in self.session.client.follow(self._task_id, stream=self._stream):
                log.write(safe.feed(piece))
        except CorralError as error:
            self._say(str(error))
        else:
            self._say("ended" if log.line_count else "ended without a word here; e shows the other stream")

    def _say(self, words: str) -> None:
        title = f"task {self._task_id}  {self._stream}  {words}"
        self.query_one("#log-title", Static).update(safe_line(title))
