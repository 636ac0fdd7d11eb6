"""What is asked for one part of a screen: how long its answer is awaited, and why the last one was none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from bus.errors import CorralError

T = TypeVar("T")

SLOW_S = 1.0
"""Who has waited for so long is told how long it takes."""


class Asking:
    """Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._began: dict[object, float] = {}
        self._answered: float | None = None
        self.error: CorralError | None = None

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Around a question. Its error is kept until there is an answer again, and raised on."""
        question = object()
        self._began[question] = time.monotonic()
        try:
            yield
        except CorralError as error:
            self.error = error
            raise
        else:
            self.error, self._answered = None, time.monotonic()
        finally:
            del self._began[question]

    @property
    def is_under_way(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._began)

    @property
    def waited_s(self) -> float:
        """How long the oldest question is without its answer; 0 while nobody has waited long."""
        waited_s = time.monotonic() - min(self._began.values()) if self._began else 0.0
        return waited_s if waited_s >= SLOW_S else 0.0

    @property
    def age_s(self) -> float | None:
        """How long ago the last answer came; None where there was none yet."""
        return None if self._answered is None else time.monotonic() - self._answered


async def patiently(question: Awaitable[T], tell: Callable[[float], None]) -> T:
    """The answer. Until it is there `tell` hears how many seconds it takes, as often as these change."""
    asked, began = asyncio.ensure_future(question), time.monotonic()
    try:
        while not (await asyncio.wait([asked], timeout=SLOW_S))[0]:
            tell(time.monotonic() - began)
        return asked.result()
    finally:
        asked.cancel()
