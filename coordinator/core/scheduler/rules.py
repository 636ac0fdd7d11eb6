"""Static rules of order as the field knows them: smaller goes first, ties by arrival.

`q` is the requested run time in seconds, `n` the processors, `s` the submission in seconds since the record
began, `w` the seconds waited.

| rule | score | source |
|---|---|---|
| fcfs | s | |
| sjf | q | |
| saf | q·n | Carastan-Santos & de Camargo, SC'17 |
| sqf | q·√n | as above |
| wfp3 | −(w / q)³·n | Tang et al., Cluster'09 |
| unicep | −w / (log₂ n · q) | as above |
| f1 | log₁₀ q · n + 870 · log₁₀ s | Carastan-Santos & de Camargo, SC'17, learned by regression |
| f2 | √q · n + 25 600 · log₁₀ s | as above |
| f3 | q · n + 6 860 000 · log₁₀ s | as above |
| f4 | q · √n + 530 000 · log₁₀ s | as above |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

_TINY = 1e-15


class Waits(NamedTuple):
    """What a rule may know of a task that waits."""

    requested_s: float
    processors: int
    submitted_s: float


Rule = Callable[[Waits, float], float]


def fcfs(task: Waits, now_s: float) -> float:
    return task.submitted_s


def sjf(task: Waits, now_s: float) -> float:
    return task.requested_s


def saf(task: Waits, now_s: float) -> float:
    return task.requested_s * task.processors


def sqf(task: Waits, now_s: float) -> float:
    return task.requested_s * math.sqrt(task.processors)


def wfp3(task: Waits, now_s: float) -> float:
    return -(((now_s - task.submitted_s) / max(task.requested_s, 1.0)) ** 3) * task.processors


def unicep(task: Waits, now_s: float) -> float:
    spread = math.log2(task.processors + _TINY) * max(task.requested_s, 1.0)
    return -(now_s - task.submitted_s + _TINY) / spread


def f1(task: Waits, now_s: float) -> float:
    return _log10(task.requested_s) * task.processors + 870.0 * _log10(task.submitted_s)


def f2(task: Waits, now_s: float) -> float:
    return math.sqrt(max(task.requested_s, 0.0)) * task.processors + 25_600.0 * _log10(task.submitted_s)


def f3(task: Waits, now_s: float) -> float:
    return task.requested_s * task.processors + 6_860_000.0 * _log10(task.submitted_s)


def f4(task: Waits, now_s: float) -> float:
    return task.requested_s * math.sqrt(task.processors) + 530_000.0 * _log10(task.submitted_s)


def _log10(value: float) -> float:
    """Of what is not above zero, as the rules' reference has it: of a tenth."""
    return math.log10(value if value > 0.0 else 0.1)


RULES: dict[str, Rule] = {
    "fcfs": fcfs,
    "sjf": sjf,
    "saf": saf,
    "sqf": sqf,
    "wfp3": wfp3,
    "unicep": unicep,
    "f1": f1,
    "f2": f2,
    "f3": f3,
    "f4": f4,
}
TIMELESS = RULES.keys() - {"wfp3", "unicep"}
"""Rules whose scores never change while a task waits."""
