"""Where one is in the console, and where one was: places that can be gone back to, each with a name.

A place is a main screen and what was opened on it, each with its condition and order. What was opened is
known by the line of the command line that opens it: "tasks 1042", "why 1042.7".
"""

from __future__ import annotations

from msgspec import Struct

PLACES_MAX = 100
CRUMB_SIGN = " › "


class Step(Struct, frozen=True):
    """One screen of a place: its line, and of a list its condition and order."""

    line: str
    filter: str = ""
    sort: str = ""

    def __str__(self) -> str:
        return self.line + (f" [/{self.filter}]" if self.filter else "")


class Place(Struct, frozen=True):
    """The main screen first, then what was opened on it."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return CRUMB_SIGN.join(map(str, self.steps))

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """The place without its orders: sorting a list is not going elsewhere."""
        return tuple((step.line, step.filter) for step in self.steps)


class History:
    """Places in the order they were visited, with the one where one is now."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._here = -1

    @property
    def here(self) -> Place | None:
        """Where one is now."""
        return self._places[self._here] if self._places else None

    def visit(self, place: Place) -> None:
        """One is here now. Places that one had gone back from are forgotten, as in a browser."""
        if self.here is not None and self.here.filters == place.filters:
            self._places[self._here] = place
            return
        self._places[self._here + 1 :] = [place]
        del self._places[:-PLACES_MAX]
        self._here = len(self._places) - 1

    def move(self, by: int) -> Place | None:
        """So many places on, or back; None where there is none."""
        if not 0 <= self._here + by < len(self._places):
            return None
        self._here += by
        return self.here

    def recent(self) -> list[Place]:
        """Each place but this one, once, the newest first."""
        seen = dict.fromkeys(reversed(self._places))
        return [place for place in seen if place != self.here]


def line_of(crumb: str) -> str:
    """The line that opens the screen with this crumb: "1042 › tasks" is opened by "tasks 1042"."""
    target, _, what = crumb.rpartition(CRUMB_SIGN)
    return f"{what} {target}".rstrip()
