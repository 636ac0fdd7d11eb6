"""Who goes next inside a class of equal priority: every order that can be chosen, as data.

    static      a rule of the field on what jobs ask for (`rules.RULES`)
    predicted   a base rule on what is predicted of them (`base_key`)
    rollout     Q-values of the first few of some base rules (`planner.Planner`)

The gate chooses among them by replay (`gate`); a static one needs no leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from coordinator.core.scheduler.rules import RULES, Waits


class Mode(StrEnum):
    """Whether a learned order acts."""

    OFF = "off"
    SHADOW = "shadow"  # it decides and is scored; the static rule acts
    ON = "on"  # it acts as long as the gate lets it


class Backfill(StrEnum):
    """How many blocked heads get places reserved, past which others may run ahead of them."""

    EASY = "easy"  # the first
    CONSERVATIVE = "conservative"  # each of the first few
    OFF = "off"  # none by its walltimes; who waits very long still gets a node


class Kind(StrEnum):
    STATIC = "static"
    PREDICTED = "predicted"
    ROLLOUT = "rollout"


class Policy(Struct, frozen=True, kw_only=True):
    """`rules`: of its kind, one unless it is a rollout; `TABLE` stands for the one of the moment.

    Those of a predicted order and of a rollout are base rules, or static ones that need no clock.

    A rollout looks at the first `top` of each rule, and at as many that fit, in `futures` (0: only what is
    there already) of `arrivals` jobs each. `quiet` is the weight of one more, in which nobody comes: of the
    backlog we know most, and arrivals to come may be none like the latest.
    """

    name: str
    kind: Kind
    rules: tuple[str, ...]
    top: int = 0
    futures: int = 0
    arrivals: int = 0
    quiet: float = 0.0


BASE_RULES: dict[str, Callable[[float, int, float], float]] = {
    "short": lambda run_s, nodes, weight: run_s,
    "small area": lambda run_s, nodes, weight: run_s * nodes,
    "short and narrow": lambda run_s, nodes, weight: run_s * math.sqrt(nodes),
    "heavy": lambda run_s, nodes, weight: 1.0 / weight,
    "narrow": lambda run_s, nodes, weight: nodes + run_s * 1e-7,
}
"""Of predicted run time, nodes and predicted weight; smaller goes first."""


def base_key(rule: str, predicted: Waits, *, nodes: int, weight: float) -> float:
    """The place of a job under a base rule, or under a static one as of its arrival, by what is predicted.

    `predicted` has its predicted run time in place of the requested one. Base rules know nothing of arrival;
    F1 to F4 do.
    """
    base = BASE_RULES.get(rule)
    if base is None:
        return RULES[rule](predicted, predicted.submitted_s)
    return base(predicted.requested_s, nodes, weight)


TABLE = "by table"
"""The base rule that tabular Q-learning has found best for what the queue looks like (`qlearning`)."""


def _predicted(rule: str) -> Policy:
    return Policy(name=f"predicted {rule}", kind=Kind.PREDICTED, rules=(rule,))


def _rollout(name: str, *rules: str, futures: int = 4) -> Policy:
    return Policy(
        name=name,
        kind=Kind.ROLLOUT,
        rules=rules,
        top=4,
        futures=futures,
        arrivals=20 if futures else 0,
        quiet=float(futures),
    )


_ALL = (
    *(Policy(name=rule, kind=Kind.STATIC, rules=(rule,)) for rule in RULES),
    *map(_predicted, BASE_RULES),
    _predicted(TABLE),
    _rollout("rollout", "short and narrow", "f2"),
    _rollout("rollout by f2", "f2"),
    _rollout("rollout by width", "narrow", "heavy"),
    _rollout("rollout of backlog", "short and narrow", "f2", futures=0),
    _rollout("rollout of backlog by area", "short and narrow", "small area", futures=0),
    _rollout("rollout of backlog by table", TABLE, "heavy", futures=0),
)
POLICIES: dict[str, Policy] = {policy.name: policy for policy in _ALL}
"""Every order by its name."""
