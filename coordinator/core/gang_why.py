"""Why a gang waits: how many of its ranks fit now, where, and what would make room for the others."""

from __future__ import annotations

from bus.api import Blocker
from bus.units import counted
from coordinator.core.model import Cluster, Shape
from coordinator.core.networks import preferred
from coordinator.core.scheduler.gangs import seats_ever, seats_now

VALUES_NAMED = 4


def gang_blocker(cluster: Cluster, shape: Shape) -> list[Blocker]:
    """Nothing if it is no gang, or all of it fits now."""
    gang = shape.gang
    if gang is None or not cluster.nodes:
        return []
    seats = seats_now(cluster, shape)
    total = sum(seats.values())
    if total >= gang.size and not cluster.reserved:
        return []
    where = _where(preferred(cluster, gang), seats)
    message = f"{total} of {counted(gang.size, 'rank')} fit now{where}; all start at once or none"
    if total >= gang.size:
        message = f"{counted(gang.size, 'rank')} would fit{where}, in places that are kept for others"
    able = seats_ever((node for node in cluster.nodes.values() if node.takes_work), shape)
    missing = gang.size - total
    remedy = f"when {counted(missing, 'more place')} {'is' if missing == 1 else 'are'} free at once"
    if able < gang.size:
        remedy = f"when nodes come back: those that take work have {counted(able, 'place')}"
    elif total >= gang.size:
        remedy = "when those before it have started"
    elif total:
        remedy += f"; or submit a gang of {total}"
    return [Blocker(code="gang", message=message, remedy=remedy)]


def _where(topology: str, seats: dict[str, int]) -> str:
    if not topology or not seats:
        return ""
    named = [f"{value or f'no {topology}'}: {number}" for value, number in list(seats.items())[:VALUES_NAMED]]
    more = ", …" if len(seats) > VALUES_NAMED else ""
    return f" ({topology} {', '.join(named)}{more})"
