"""Screens are read and made when they are first opened, or one by one once the cluster has answered.

A place is written "module:name". What `Ahead` does costs no key a wait: between two of its steps the
application hears what was typed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from textual.app import App

if TYPE_CHECKING:
    from tui.screens.live import LiveScreen

PAUSE_S = 0.05
"""Between two modules: a module takes some milliseconds."""

MAKING_PAUSE_S = 0.15
"""Between two screens: one takes some tens of milliseconds, in pieces."""

AHEAD = (
    "tui.screens.openers",
    "tui.screens.document",
    "tui.screens.why",
    "tui.screens.tasks",
    "tui.screens.nodes",
    "tui.screens.logs",
    "tui.screens.charts",
    "tui.screens.scheduler",
    "tui.screens.events",
    "tui.screens.gantt",
    "tui.screens.users",
    "tui.screens.storage",
    "tui.screens.tools",
    "tui.screens.xray",
    "tui.screens.whatif",
    "tui.screens.past",
    "tui.screens.training",
    "tui.screens.finding",
    "tui.modals.command",
    "tui.modals.palette",
    "tui.modals.help",
    "tui.modals.time",
    "tui.modals.submit",
    "tui.modals.call",
    "tui.modals.confirm",
    "tui.modals.blanks",
    "tui.modals.journal",
    "tui.client.doing",
)
"""What may be opened by a key, the likelier first."""


def at(place: str) -> Callable[..., LiveScreen]:
    """Makes the screen of a place; its module is read by then."""

    def make(*arguments: str) -> LiveScreen:
        module, _, name = place.partition(":")
        made: LiveScreen = getattr(import_module(module), name)(*arguments)
        return made

    return make


async def ahead(modules: Sequence[str] = AHEAD) -> None:
    """Read what will be wanted, while nothing else is to be done."""
    for module in modules:
        await asyncio.sleep(PAUSE_S)
        import_module(module)


def at_once(modules: Sequence[str] = AHEAD) -> None:
    """For who has to know all of them."""
    for module in modules:
        import_module(module)


class Ahead(App[None]):
    """Makes what will be looked at before it is: styled, laid out and hidden, it asks for nothing."""

    async def get_ahead(self, *, screens: bool) -> None:
        """Read all modules; with `screens`, make the main screens as well, the first digits first."""
        await ahead()
        for mode in self.MODES if screens else ():
            await asyncio.sleep(MAKING_PAUSE_S)
            await self._init_mode(mode)  # one that was opened meanwhile stays as it is
