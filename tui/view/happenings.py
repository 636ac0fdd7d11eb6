"""Events as lines of a pane: when, about what, what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.view.columns import about
from tui.view.instants import local_short
from tui.view.lines import Line
from tui.view.safe import fit, safe_line
from tui.view.states import SEVERITY_BADGES

if TYPE_CHECKING:
    from bus.api import Happened


ABOUT_CELLS = 12


def event_line(event: Happened, *, now_s: float) -> Line:
    """One event; of a severity that we do not know, the look of information."""
    badge = SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"])
    at = local_short(event.at, now_s=now_s)
    subject = fit(safe_line(about(event)), ABOUT_CELLS)
    return Line(safe_line(f"{at}  {subject}  {event.message or event.kind}"), badge.tone, badge.glyph)
