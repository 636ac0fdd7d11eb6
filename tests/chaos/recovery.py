"""How long a fault was felt: from the blow, and from its healing, to an answer and to a task that runs."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.chaos.plan import Stroke

WAIT_S = 90.0
POLL_S = 0.05


class Recovery(Struct, frozen=True, kw_only=True):
    """Of one stroke; a probe is submitted with the blow. None: not within WAIT_S, or the run ended."""

    number: int
    fault: str
    struck: str
    healed_s: float  # how long the fault itself lasted, the waiting for an end included
    answered_s: float | None  # the probe's submission was acknowledged
    placed_s: float | None  # its task ran

    @property
    def after_healing_s(self) -> float | None:
        """Until tasks were placed again; 0 where nobody had noticed, or somebody had taken over."""
        return None if self.placed_s is None else max(0.0, self.placed_s - self.healed_s)


class Spread(Struct, frozen=True, kw_only=True):
    count: int
    p50_s: float
    p99_s: float
    max_s: float


def spread(values: Sequence[float]) -> Spread | None:
    """None of nothing. p99: the smallest value that 99 % of all do not exceed."""
    if not values:
        return None
    ranked = sorted(values)

    def at(share: float) -> float:
        return round(ranked[max(0, math.ceil(share * len(ranked)) - 1)], 3)

    return Spread(count=len(ranked), p50_s=at(0.5), p99_s=at(0.99), max_s=round(ranked[-1], 3))


class FaultFigures(Struct, frozen=True, kw_only=True):
    """Of all strokes of one kind."""

    fault: str
    strokes: int
    answered: Spread | None
    placed: Spread | None
    after_healing: Spread | None
    unanswered: int  # probes without an answer or a start


def by_fault(recoveries: Sequence[Recovery]) -> list[FaultFigures]:
    """In the order of their names, and all of them together at the end."""
    kinds: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in recoveries:
        kinds[recovery.fault].append(recovery)
    figures = [_figures(fault, kinds[fault]) for fault in sorted(kinds)]
    return [*figures, _figures("all", recoveries)] if recoveries else []


def _figures(fault: str, recoveries: Sequence[Recovery]) -> FaultFigures:
    return FaultFigures(
        fault=fault,
        strokes=len(recoveries),
        answered=spread([each.answered_s for each in recoveries if each.answered_s is not None]),
        placed=spread([each.placed_s for each in recoveries if each.placed_s is not None]),
        after_healing=spread(
            [each.after_healing_s for each in recoveries if each.after_healing_s is not None]
        ),
        unanswered=sum(each.placed_s is None for each in recoveries),
    )


async def started(marks_folder: Path, job: int) -> None:
    """Until the first task of `job` has left a mark."""
    mark = marks_folder / f"{job}.0"
    while not mark.exists():
        await asyncio.sleep(POLL_S)


class Watch:
    """The probe of one stroke: `land` with the blow, `result` when it has healed."""

    def __init__(self, stroke: Stroke) -> None:
        self._stroke = stroke
        self._begin = 0.0
        self.landed = asyncio.Event()
        self.answered_s: float | None = None
        self.placed_s: float | None = None

    def land(self) -> None:
        """The blow has landed: from here on it counts."""
        self._begin = time.monotonic()
        self.landed.set()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._begin

    def result(self, *, struck: str, healed_s: float) -> Recovery:
        return Recovery(
            number=self._stroke.number,
            fault=str(self._stroke.fault),
            struck=struck,
            healed_s=round(healed_s, 3),
            answered_s=self.answered_s,
            placed_s=self.placed_s,
        )
