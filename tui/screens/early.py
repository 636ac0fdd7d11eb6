"""What is asked of a row before the list is there: done once it is, as it would have been a moment later.

Who knows the console types ahead of it: `3 i` leads to a terminal, whether or not the list of jobs comes
between the two keys.
"""

from __future__ import annotations

import time

from msgspec import Struct
from textual import work
from textual.actions import parse
from textual.dom import DOMNode

from tui.screens.live import LiveScreen
from tui.view.actions import FILLED_FIRST
from tui.widgets.virtual_table import VirtualTable

EARLY_MAX_S = 3.0
"""A list that takes longer has no say over keys any more: nobody remembers them."""

OF_A_ROW = frozenset({"open_log", "why", "details", "steer", "call", "attach"})
"""What is done to the row under the cursor; where there is none it is not offered."""

OPEN_A_ROW = frozenset({"open", "open_tasks", "ranks", "chart", "tasks", "resubmit", "what_if"})
"""These lead from it to another screen."""

Action = str | tuple[str, str, tuple[object, ...]]


class _Early(Struct, frozen=True):
    action: Action
    node: DOMNode
    at_s: float


class EarlyKeys(LiveScreen):
    """Subclasses say whether rows are on their way, and call `catch_up` once they are there."""

    _early: tuple[_Early, ...] = ()

    @property
    def awaits_rows(self) -> bool:
        """Whether the first answer is on its way."""
        raise NotImplementedError

    def puts_off(self, action: Action, node: DOMNode) -> bool:
        """Whether it waits for the rows: from then on it is this screen's to do."""
        _, name, parameters = parse(action) if isinstance(action, str) else action
        is_of_rows = isinstance(node, VirtualTable) or (node is self and name in OF_A_ROW | OPEN_A_ROW)
        if not (is_of_rows and self.awaits_rows and node.check_action(name, parameters)):
            return False
        if name == "call" or (name == "steer" and parameters[0] in FILLED_FIRST):
            self.console.hold_keys()  # what is typed next is for the form
        self._early = (*self._early, _Early(action, node, time.monotonic()))
        return True

    def on_screen_suspend(self) -> None:
        """Who went elsewhere does not mean these rows any more."""
        self._early = ()

    def catch_up(self) -> None:
        """Do what was put off, in its order."""
        early, self._early = self._early, ()
        if early:
            self._do(early)

    @work(group="early")
    async def _do(self, early: tuple[_Early, ...]) -> None:
        for each in early:
            is_recent = time.monotonic() - each.at_s <= EARLY_MAX_S
            if is_recent and self.is_current and each.node.is_attached:
                await self.app.run_action(each.action, each.node)
