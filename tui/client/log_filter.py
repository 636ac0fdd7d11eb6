"""The lines of a task's output that match, and some around each: found by the coordinator, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from bus.grep import FoundLine, Grep, LogGrep
from bus.values import Stream
from tui.client.log_window import TONES
from tui.client.source import LogSource
from tui.view.inks import Inker
from tui.view.lines import Line

PAGE_MATCHES = 500
LINES_MAX = 20_000
"""Who has found so many lines looks for something else."""

GAP = Line("⋯", tone="idle")


class LogFilter:
    """`more` asks for the next page. `over`: all there is by now has been looked through."""

    def __init__(
        self, task: str, pattern: str, *, streams: Sequence[Stream], attempt: int = 0, context: int = 0
    ) -> None:
        self.pattern = pattern
        self.context = context
        self.lines: list[Line] = []
        self.matches = 0
        self.over = False
        self.complete = False
        self.share = 0.0
        self._task = task
        self._attempt = attempt
        self._next = dict.fromkeys(streams, 0)
        self._done: set[Stream] = set()
        self._complete: set[Stream] = set()
        self._reached: dict[Stream, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether it holds so many lines that it looks no further."""
        return len(self.lines) >= LINES_MAX

    async def more(self, source: LogSource) -> list[Line]:
        """The lines of the next page; none where `over`, until more was printed."""
        if self.over:
            self._done = set(self._complete)
        stream = next(stream for stream in self._next if stream not in self._done)
        answer = await source.grep(
            LogGrep(
                task=self._task,
                pattern=self.pattern,
                stream=stream,
                attempt=self._attempt,
                offset=self._next[stream],
                context=self.context,
                limit=PAGE_MATCHES,
            )
        )
        self._note(stream, answer)
        fresh = self._shown(stream, answer.lines)
        self.lines += fresh
        return fresh

    def _note(self, stream: Stream, answer: Grep) -> None:
        self._attempt = self._attempt or answer.attempt
        self._next[stream] = answer.next
        self.share = answer.next / answer.size if answer.size else 1.0
        if answer.over:
            self._done.add(stream)
        if answer.complete:
            self._complete.add(stream)
        self.over = len(self._done) == len(self._next)
        self.complete = len(self._complete) == len(self._next)

    def _shown(self, stream: Stream, found: Sequence[FoundLine]) -> list[Line]:
        tone, mark = TONES[stream]
        lines: list[Line] = []
        for each in found:
            end = each.offset + len(each.text) + 1
            if self.context and self._reached.get(stream, 0) < each.offset and (self.lines or lines):
                lines.append(GAP)
            self._reached[stream] = end
            raw = each.text.removesuffix(b"\r").decode("utf-8", "replace")
            text, inks = Inker().line(raw)
            matched = each.match is not None
            self.matches += matched
            toned = tone if matched else "idle"
            lines.append(Line(text, toned, mark, 0, inks if matched else (), each.offset, end))
        return lines
