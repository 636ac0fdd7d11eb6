"""The newest of what this agent complains of, for who asks the coordinator instead of this machine."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from agent.words import plain
from bus.messages import LogLine

LINES_KEPT = 200
LINES_AT_ONCE = 50
TEXT_MAX = 1_000


class LogTail(logging.Handler):
    """Warnings and errors until somebody takes them; of too many, the oldest go and are counted."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._mutex = threading.Lock()
        self._lines: deque[tuple[float, LogLine]] = deque()
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Called from any thread."""
        try:
            text = f"{record.name}: {record.getMessage()}"
            severity = "error" if record.levelno >= logging.ERROR else "warning"
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end who logs
            self.handleError(record)
            return
        self._put(record.created, LogLine(severity=severity, text=plain(text, TEXT_MAX)))

    def take(self, now_s: float) -> tuple[LogLine, ...]:
        """The oldest LINES_AT_ONCE, each with how long ago it was."""
        with self._mutex:
            if self._lost:
                line = LogLine(severity="warning", text=f"{self._lost} older lines are only in its own log")
                self._lines.appendleft((self._lines[0][0], line))
                self._lost = 0
            taken = [self._lines.popleft() for _ in range(min(LINES_AT_ONCE, len(self._lines)))]
        return tuple([replace(line, age_s=max(now_s - at, 0.0)) for at, line in taken])

    def give_back(self, lines: tuple[LogLine, ...], now_s: float) -> None:
        """They could not be sent."""
        with self._mutex:
            self._lines.extendleft((now_s - line.age_s, line) for line in reversed(lines))
            self._trim()

    def _put(self, at_s: float, line: LogLine) -> None:
        with self._mutex:
            self._lines.append((at_s, line))
            self._trim()

    def _trim(self) -> None:
        while len(self._lines) > LINES_KEPT:
            self._lines.popleft()
            self._lost += 1


@contextmanager
def tail_of(name: str) -> Iterator[LogTail]:
    """What is logged below `name` in the meantime."""
    tail, logger = LogTail(), logging.getLogger(name)
    logger.addHandler(tail)
    try:
        yield tail
    finally:
        logger.removeHandler(tail)
