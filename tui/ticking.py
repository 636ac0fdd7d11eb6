"""One clock for all that is drawn anew as time goes by: what is hidden waits until it is looked at.

With a timer each, the ten main screens that are made ahead woke the console thirty times a second.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from textual.app import App
from textual.widget import Widget

TICK_S = 1.0


class _Recurring(Struct, frozen=True):
    widget: Widget
    ticks: int
    begun: int
    call: Callable[[], object]


class Ticking(App[None]):
    """Calls what recurs on the screens that are seen, those below a modal among them."""

    _ticks = 0
    _recurring: tuple[_Recurring, ...] = ()

    def on_mount(self) -> None:
        """Start the clock."""
        self.set_interval(TICK_S, self._tick)

    def every(self, widget: Widget, seconds: int, call: Callable[[], object]) -> None:
        """`call` every so many seconds while the screen of `widget` is seen, until the widget is gone."""
        self._recurring = (*self._recurring, _Recurring(widget, seconds, self._ticks, call))

    def _tick(self) -> None:
        self._ticks += 1
        if any(not each.widget.is_running for each in self._recurring):
            self._recurring = tuple(each for each in self._recurring if each.widget.is_running)
        seen = self.screen_stack
        for each in self._recurring:
            if (self._ticks - each.begun) % each.ticks == 0 and each.widget.screen in seen:
                each.call()
