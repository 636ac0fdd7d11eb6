"""Keys that come before the form they are meant for is open: it gets them, and nothing below it acts on them.

The binding that opens a form has priority: others are looked at only once the keys behind them are passed on.
"""

from __future__ import annotations

from textual import events
from textual.app import App
from textual.timer import Timer

HOLD_MAX_S = 1.0
"""A form that takes longer, or never opens, has no say over keys any more."""


class TypingAhead(App[None]):
    """Between `hold_keys` and `give_keys` keys wait."""

    _kept: list[events.Key] | None = None
    _hold: Timer | None = None

    def hold_keys(self) -> None:
        """A form is about to open: it calls `give_keys` once it can be typed into."""
        if self._kept is None:
            self._kept = []
            self._hold = self.set_timer(HOLD_MAX_S, self.give_keys)

    def give_keys(self) -> None:
        """Keys that waited go where keys go now, in their order."""
        kept, self._kept = self._kept or [], None
        if self._hold is not None:
            self._hold.stop()
        for each in kept:
            self.post_message(events.Key(each.key, each.character))

    async def on_event(self, event: events.Event) -> None:
        """As always, but for keys that wait."""
        if self._kept is not None and isinstance(event, events.Key) and not event.is_forwarded:
            self._kept.append(event)
        else:
            await super().on_event(event)
