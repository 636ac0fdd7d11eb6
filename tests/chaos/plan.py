"""What will go wrong, and when: drawn from a seed before anything starts, so that a run can be repeated.

Faults come from a shuffled deck: each kind once before any comes again. Whoever is already struck is not
struck again before it has healed, and `ALL` waits until everybody stands.
"""

from __future__ import annotations

import random
from enum import StrEnum

from msgspec import Struct

AGENTS = ("n1", "n2", "n3", "n4")
COORDINATORS = ("a", "b")
LEADER = "leader"
"""Whichever coordinator leads at that moment."""

EVERYBODY = "all"

RECOVERY_S = 4.0
"""How long after its healing somebody is left alone: what starts up is to be struck at times, not always."""


class Fault(StrEnum):
    """`…_KILL`: SIGKILL, then a new start; `…_STOP`: SIGSTOP, SIGCONT; `…_RESTART`: SIGTERM, a new start."""

    LEADER_KILL = "leader_kill"
    LEADER_STOP = "leader_stop"
    LEADER_RESTART = "leader_restart"
    LEADER_NO_DATABASE = "leader_no_database"  # its packets to PostgreSQL are dropped
    LEADER_NO_BUS = "leader_no_bus"
    LEADER_ALONE = "leader_alone"  # both at once
    COORDINATORS_KILL = "coordinators_kill"
    AGENT_KILL = "agent_kill"
    AGENT_STOP = "agent_stop"  # within its lease
    AGENT_ZOMBIE = "agent_zombie"  # stopped past its lease, then it wakes up
    AGENT_RESTART = "agent_restart"
    AGENT_PARTITION = "agent_partition"  # past its lease
    AGENT_HICCUP = "agent_hiccup"  # its connections are closed, and open again soon
    AGENT_AND_GUARD_KILL = "agent_and_guard_kill"
    GUARD_KILL = "guard_kill"
    GUARD_STOP = "guard_stop"
    NATS_KILL = "nats_kill"
    NATS_STOP = "nats_stop"
    NATS_RESTART = "nats_restart"
    NATS_WIPED = "nats_wiped"  # killed, and back without its JetStream directory
    BUCKETS_DELETED = "buckets_deleted"
    POSTGRES_KILL = "postgres_kill"
    POSTGRES_STOP = "postgres_stop"
    POSTGRES_RESTART = "postgres_restart"
    ALL_KILL = "all_kill"


LASTS_S: dict[Fault, tuple[float, float]] = {
    Fault.LEADER_KILL: (0.2, 4.0),
    Fault.LEADER_STOP: (2.0, 12.0),
    Fault.LEADER_RESTART: (0.2, 1.0),
    Fault.LEADER_NO_DATABASE: (3.0, 12.0),
    Fault.LEADER_NO_BUS: (3.0, 18.0),
    Fault.LEADER_ALONE: (3.0, 18.0),
    Fault.COORDINATORS_KILL: (0.2, 3.0),
    Fault.AGENT_KILL: (0.1, 6.0),
    Fault.AGENT_STOP: (2.0, 9.0),
    Fault.AGENT_ZOMBIE: (18.0, 28.0),
    Fault.AGENT_RESTART: (0.1, 1.0),
    Fault.AGENT_PARTITION: (17.0, 28.0),
    Fault.AGENT_HICCUP: (0.5, 3.0),
    Fault.AGENT_AND_GUARD_KILL: (0.2, 4.0),  # within a lease: with both dead only the fence protects
    Fault.GUARD_KILL: (0.0, 0.0),
    Fault.GUARD_STOP: (1.0, 8.0),  # within a lease: it could not end what it should
    Fault.NATS_KILL: (0.2, 3.0),
    Fault.NATS_STOP: (1.0, 6.0),
    Fault.NATS_RESTART: (0.1, 1.0),
    Fault.NATS_WIPED: (0.2, 2.0),
    Fault.BUCKETS_DELETED: (0.0, 0.0),
    Fault.POSTGRES_KILL: (0.2, 3.0),
    Fault.POSTGRES_STOP: (1.0, 6.0),
    Fault.POSTGRES_RESTART: (0.1, 1.0),
    Fault.ALL_KILL: (0.5, 3.0),
}
"""For how long each lasts, at least and at most; what comes back needs its start on top."""


class Stroke(Struct, frozen=True, kw_only=True):
    """One fault of the plan: `at_s` after the start, on `target`, healed after `lasts_s`."""

    number: int
    at_s: float
    fault: Fault
    target: str
    lasts_s: float

    def __str__(self) -> str:
        return f"#{self.number} {self.at_s:.1f} s: {self.fault} on {self.target} for {self.lasts_s:.1f} s"


def draw(*, seed: int, length_s: float, every_s: float) -> list[Stroke]:
    """A fault each `every_s`, the first one after `every_s`, all healed by `length_s`."""
    chance = random.Random(seed)
    busy_until: dict[str, float] = {}
    deck: list[Fault] = []
    plan: list[Stroke] = []
    at_s = every_s
    while at_s < length_s - 1.0:
        if not deck:
            deck = list(Fault)
            chance.shuffle(deck)
        stroke = _first_possible(
            deck, chance, busy_until, number=len(plan) + 1, at_s=at_s, most_s=length_s - at_s
        )
        if stroke is not None:
            deck.remove(stroke.fault)
            for struck in struck_by(stroke):
                busy_until[struck] = stroke.at_s + stroke.lasts_s + RECOVERY_S
            plan.append(stroke)
        at_s += every_s
    return plan


def struck_by(stroke: Stroke) -> tuple[str, ...]:
    """Who must be left alone until it has healed. Of two coordinators one may always lead."""
    if stroke.fault is Fault.ALL_KILL:
        return ("nats", "postgres", LEADER, *AGENTS)
    return (stroke.target,)


def _first_possible(
    deck: list[Fault],
    chance: random.Random,
    busy_until: dict[str, float],
    *,
    number: int,
    at_s: float,
    most_s: float,
) -> Stroke | None:
    for fault in deck:
        least_s, longest_s = LASTS_S[fault]
        if least_s > most_s:
            continue
        target = _target(fault, chance)
        stroke = Stroke(
            number=number,
            at_s=round(at_s, 3),
            fault=fault,
            target=target,
            lasts_s=round(chance.uniform(least_s, min(longest_s, most_s)), 3),
        )
        if all(busy_until.get(struck, 0.0) <= at_s for struck in struck_by(stroke)):
            return stroke
    return None


def _target(fault: Fault, chance: random.Random) -> str:
    match fault.value.partition("_")[0]:
        case "agent" | "guard":
            return chance.choice(AGENTS)
        case "leader" | "coordinators":
            return LEADER
        case "nats" | "buckets":
            return "nats"
        case "postgres":
            return "postgres"
    return EVERYBODY
