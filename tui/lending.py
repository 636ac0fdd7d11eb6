"""The terminal lent to what runs elsewhere: a task's own, until the person leaves it; then ours again."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual.app import App

T = TypeVar("T")

_HANDLED = (signal.SIGTSTP, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP)
"""Whose handlers are ours before and afterwards; the size's is set by the driver when it goes on."""


class Lending(App[None]):
    """What comes in meanwhile is kept, and drawn afterwards."""

    @property
    def can_lend(self) -> bool:
        """Whether there is a terminal, which somebody sits at."""
        streams = (sys.__stdin__, sys.__stdout__)
        is_terminal = all(stream is not None and stream.isatty() for stream in streams)
        return is_terminal and self._driver is not None and self._driver.can_suspend

    async def lend(self, use: Callable[[], Awaitable[T]]) -> T:
        """Give the terminal to `use` for as long as it takes. Raises what that raises.

        The loop goes on: nothing may be drawn by then, since nobody takes what the driver is given.
        """
        handlers = {number: signal.getsignal(number) for number in _HANDLED}
        suspended = self.suspend()
        with self.batch_update():
            suspended.__enter__()
            try:
                return await use()
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                suspended.__exit__(None, None, None)  # told of an error, it would not take it back
