"""Actions on rows that are not there yet go to their screen, which does them once they are."""

from __future__ import annotations

from collections.abc import Mapping

from textual.actions import ActionParseResult
from textual.app import App
from textual.dom import DOMNode

from tui.screens.early import EarlyKeys


class EarlyActions(App[None]):
    """Here, and not where keys come in: keys of one go are handed out before the first has led elsewhere."""

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """As always, but for what waits for rows."""
        screen = self.screen
        if (
            default_namespace is not None
            and isinstance(screen, EarlyKeys)
            and screen.puts_off(action, default_namespace)
        ):
            return True
        return await super().run_action(action, default_namespace, namespaces)
