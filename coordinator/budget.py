"""How far scheduling rounds may look ahead: a share of one core, told to the core as a number of steps.

    saved ← min(saved + SHARE · elapsed, MOST_S) − taken · step_s,    steps = saved / step_s

A number and not a time, so that a round can be retold from its books; where all is to be deterministic it is
always the same. What a step takes is measured on the
rounds that looked ahead, everything else that they did included: on a slow machine they look less far.
"""

from __future__ import annotations

SHARE = 0.2
MOST_S = 0.1
STEP_S = 3e-6
"""Until one was measured."""

MEASURED_MIN = 1_000
_MEMORY = 0.9


class Budget:
    """Saved up while nobody plans. `now_s`: of any clock that never goes back; `fixed`: not by the clock."""

    def __init__(self, *, now_s: float, fixed: bool = False) -> None:
        self._fixed = fixed
        self._step_s = STEP_S
        self._saved_s = MOST_S
        self._at_s = now_s

    def steps(self, now_s: float) -> int:
        """That the next round may take."""
        if self._fixed:
            return int(MOST_S / STEP_S)
        self._saved_s = min(self._saved_s + SHARE * (now_s - self._at_s), MOST_S)
        self._at_s = now_s
        return int(self._saved_s / self._step_s)

    def note(self, taken: int, now_s: float) -> None:
        """The round is over, with so many steps taken."""
        if taken >= MEASURED_MIN:
            measured_s = (now_s - self._at_s) / taken
            self._step_s = _MEMORY * self._step_s + (1.0 - _MEMORY) * measured_s
        self._saved_s = max(self._saved_s - taken * self._step_s, 0.0)
