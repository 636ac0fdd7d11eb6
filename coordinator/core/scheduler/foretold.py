"""Forecasts that were told and have not come out yet, and what is learned when they do: note by note.

A forecast comes out when its task starts. That it was too early is known as soon as its time is over; and
what never starts tells nothing. All of it is part of what a learner knows, so the next leader has it too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from coordinator.core.scheduler.forecast import LONG_S, Forecast, Tracker

OPEN_MAX = 200
"""Forecasts that are waited for at once; who is told another one meanwhile is told it all the same."""


class Foretold(Struct, frozen=True, array_like=True, tag="foretold"):
    """At `at_s` the task was foretold to start as `told`, which was made of `raw`.

    `late`: it should have started, and waits.
    """

    job: int
    index: int
    at_s: float
    raw: Forecast
    told: Forecast
    late: bool = False


class Fate(StrEnum):
    STARTED = "started"
    LATE = "late"  # its interval is over
    GONE = "gone"  # it will never start


class CameOut(Struct, frozen=True, array_like=True, tag="came out"):
    """What became of the forecast of a task."""

    job: int
    index: int
    at_s: float
    fate: Fate


class Record(Struct):
    """`open`: by job and index, as people type them."""

    tracker: Tracker = field(default_factory=Tracker)
    open: dict[str, Foretold] = field(default_factory=dict)

    def has_room_for(self, task: str) -> bool:
        """Each task is asked about once at a time: who asks ten times is not ten times as right."""
        return task not in self.open and len(self.open) < OPEN_MAX

    def learn(self, note: Foretold | CameOut) -> None:
        """Notes of forecasts that nobody waits for change nothing."""
        task = f"{note.job}.{note.index}"
        if isinstance(note, Foretold):
            self.open[task] = note
            return
        foretold = self.open.pop(task, None)
        if foretold is None:
            return
        match note.fate:
            case Fate.STARTED:
                self.tracker.observe(foretold.raw, foretold.told, asked_s=foretold.at_s, started_s=note.at_s)
            case Fate.LATE:
                self.tracker.note_late()
                self.open[task] = replace(foretold, late=True)
            case Fate.GONE:
                pass
            case _:
                assert_never(note.fate)


def without_infinity(forecast: Forecast, *, at_s: float) -> Forecast:
    """As it can be kept: what has no end in sight ends after years. When its task ends is left out."""
    low_s, start_s, high_s = (
        min(each, at_s + LONG_S) for each in (forecast.low_s, forecast.start_s, forecast.high_s)
    )
    return Forecast(start_s=start_s, low_s=low_s, high_s=high_s)
