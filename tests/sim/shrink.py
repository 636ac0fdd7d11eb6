"""The least of a history that still breaks the same promise: what is not needed for that, is left out."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.sim.plan import Plan
from tests.sim.timeline import Violation
from tests.sim.world import World

TRIES_MAX = 120
PARTS = ("ambushes", "faults", "deeds", "submissions")

AGAIN, AGAIN_WITH_GANGS = "make sim SEED=", "python -m tests.sim --gangs --seed "


def violation_of(plan: Plan) -> tuple[Violation, list[str]] | None:
    """What a plan breaks, and the end of its trace; None if nothing."""
    world = World(plan)
    try:
        world.play()
    except Violation as violation:
        return violation, world.trace
    return None


def shrink(plan: Plan, invariant: str, *, tries: int = TRIES_MAX) -> Plan:
    """A plan without what it does not need to break `invariant`; halves of a part first, single ones last."""
    for part in PARTS:
        size = max(len(getattr(plan, part)) // 2, 1)
        while size and tries > 0:
            start, smaller = 0, False
            while start < len(getattr(plan, part)) and tries > 0:
                less = _without(plan, part, start, size)
                tries -= 1
                found = violation_of(less)
                if found is not None and found[0].invariant == invariant:
                    plan, smaller = less, True
                else:
                    start += size
            size = size if smaller and size == 1 and len(getattr(plan, part)) > 1 else size // 2
    return plan


def _without(plan: Plan, part: str, start: int, size: int) -> Plan:
    entries: tuple[Any, ...] = getattr(plan, part)
    return replace(plan, **{part: entries[:start] + entries[start + size :]})


def report(plan: Plan) -> str:
    """A failing history in full: what is broken, the least plan that breaks it, and its last events."""
    found = violation_of(plan)
    if found is None:
        return f"seed {plan.seed}: every promise was kept"
    least = shrink(plan, found[0].invariant)
    again = violation_of(least)
    assert again is not None, "a plan is only made smaller while it fails"
    violation, trace = again
    lines = [
        f"seed {plan.seed} breaks {found[0]}",
        f"least: {least.agents} agents, {least.coordinators} coordinators, pace {least.pace:g}: {violation}",
        *(f"  job   {each.at_s:10.3f}  {each.spec}" for each in least.submissions),
        *(
            f"  deed  {each.at_s:10.3f}  {each.operation} {each.key or f'n{each.node}'}"
            for each in least.deeds
        ),
        *(
            f"  fault {each.at_s:10.3f}  {each.kind} ({each.which}) for {each.for_s:.1f} s"
            for each in least.faults
        ),
        *(
            f"  ambush of placing {each.placing} after {each.after_s:.3f} s, rank {each.rank}: "
            f"{each.fault or each.operation} for {each.for_s:.1f} s"
            for each in least.ambushes
        ),
        "its last events:",
        *trace,
        f"again: {AGAIN_WITH_GANGS if plan.has_gangs else AGAIN}{plan.seed}",
    ]
    return "\n".join(lines)
