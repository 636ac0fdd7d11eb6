"""A screen that is left has no parts to find: what still comes to it must not look for them."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.events import Unmount
from textual.message import Message
from textual.messages import Prune
from textual.screen import Screen

T = TypeVar("T")


class Leaving(Screen[T]):
    """For a screen that is opened and left: from the moment it is left it handles its own end alone.

    Textual makes no parts for a screen that is left before it stands, and still tells it that it is
    mounted; a query for a part then ends the console. Of several bases this is not the first: Textual
    takes styles from that alone.
    """

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave it, if it is the one that is looked at: Textual would close whichever is.

        What was waited for comes too late where somebody has left meanwhile.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()

    async def _dispatch_message(self, message: Message) -> None:
        if isinstance(message, Prune):
            self.workers.cancel_node(self)  # before its parts go: what they wait for would look for these
        if not self._pruning or isinstance(message, Prune | Unmount):
            await super()._dispatch_message(message)
