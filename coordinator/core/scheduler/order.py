"""Static orders: who goes first among tasks of equal priority. Smaller keys first; ties by arrival.

Priorities age, so that nobody starves: a step of priority is worth `ageing_s` of a job's age. Since all age
alike, who goes first of two never changes, and no line need ever be sorted again.

- `fcfs`: first come, first served.
- `sjf`: shortest job first, by the walltime asked for; who gave none goes last.
- `saf`: smallest area first, walltime × cores (Carastan-Santos & de Camargo, SC'17, study it as SAF).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from coordinator.core.model import Group

OrderKey = Callable[[Group], float]


def aged(priority: int, submitted_at: float, *, ageing_s: float) -> int:
    """The place of a job that was submitted then, in whole steps of age: smaller goes first."""
    return math.floor(submitted_at / ageing_s) - priority


def fcfs(group: Group) -> float:
    """Arrival alone decides."""
    return 0.0


def sjf(group: Group) -> float:
    """The walltime asked for, in seconds."""
    return math.inf if group.settings.timeout_s is None else group.settings.timeout_s


def saf(group: Group) -> float:
    """Walltime × millicores."""
    return sjf(group) * max(group.settings.resources.cpu_millis, 1)


ORDERS: dict[str, OrderKey] = {"fcfs": fcfs, "sjf": sjf, "saf": saf}
