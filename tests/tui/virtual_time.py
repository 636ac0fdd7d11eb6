"""An event loop whose time passes only where everything waits: then at once, up to the next timer.

What runs on it does the same on every machine, however busy that is: which task comes next depends on what
the tasks do and on nothing else, and a second of sleep costs nothing. It is for what waits for itself alone:
nothing outside of the process is waited for, and what is given to a thread is done on the spot.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

from textual import _time
from textual.notifications import Notification

T = TypeVar("T")

STEP_S = 0.05
"""What takes the place of waiting for a process that is idle: longer than a frame of the console."""

LASTING_S = 1e6
"""Notifications stay: they count by a clock that nobody can stop."""


class _Stepping(selectors.DefaultSelector):
    """Where nothing can be read, it is at once as late as one wanted to wait."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits for ever")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._stepping = _Stepping()
        super().__init__(self._stepping)

    def time(self) -> float:
        """How much has passed, in seconds."""
        return self._stepping.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Now, and here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the caller's)
            future.set_exception(error)
        return future


def run(main: Coroutine[Any, Any, T], *, now_s: float) -> T:
    """Its result. Meanwhile it is `now_s` by the calendar, in Greenwich; stop-watches follow the loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, _clocks(runner.get_loop().time, now_s):
        return runner.run(main)


@contextmanager
def _clocks(passed_s: Callable[[], float], now_s: float) -> Iterator[None]:
    async def until_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
        await asyncio.sleep(STEP_S)

    try:
        with (
            patch.dict("os.environ", {"TZ": "UTC"}),
            patch("time.time", return_value=now_s),
            patch.object(Notification, "time_left", LASTING_S),
            patch("time.monotonic", passed_s),
            patch("textual.widget.monotonic", passed_s),
            patch.object(_time, "get_time", passed_s),
            patch("textual.app.wait_for_idle", until_idle),
            patch("textual.pilot.wait_for_idle", until_idle),
        ):
            time.tzset()
            yield
    finally:
        time.tzset()
