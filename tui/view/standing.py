"""Where somebody's fair share puts their work, in words."""

from __future__ import annotations

from bus.people import Standing


def standing_line(standing: Standing) -> str:
    """ "level 12 of 15: 80% of what was used, 50% due (1 share)"."""
    shares = "1 share" if standing.shares == 1 else f"{standing.shares:,} shares"
    parts = f"{standing.used:.0%} of what was used, {standing.due:.0%} due"
    return f"level {standing.level} of 15: {parts} ({shares})"
