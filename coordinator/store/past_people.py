"""People at a moment of the past: what their jobs were, and what their tasks had used. Both raise TooMuch."""

from __future__ import annotations

from msgspec import Struct

from bus.values import Resources, Role, UserName
from coordinator.store.past import OVER, Past
from coordinator.store.shown import instant_s
from sql import queries

_SQL = queries("past_people")

HALF_LIVES = 12
"""What is older counts less than a four-thousandth."""


class PersonThen(Struct, frozen=True):
    """Somebody with the jobs that were not over, their tasks, and when they were last seen by then."""

    name: UserName
    role: Role
    active: bool
    jobs: int
    running: int
    queued: int
    failed: int
    seen_s: float | None


async def people_then(past: Past, at_s: float) -> list[PersonThen]:
    """Everybody there was, by name."""
    live = await past.live_by_user(at_s, OVER)
    return [
        PersonThen(
            UserName(row["name"]), Role(row["role"]), row["active"], *live.get(row["name"], (0, 0, 0)),
            row["failed"], instant_s(row["seen"]),
        )
        for row in await past.fetch(_SQL["people"], at_s)
    ]  # fmt: skip


async def used_by(past: Past, at_s: float, capacity: Resources, *, half_life_s: float) -> dict[str, float]:
    """Seconds of the whole cluster, decayed by then, of everybody who had used any."""
    amounts = (
        capacity.cpu_millis, capacity.mem_mib, capacity.gpu_millis, capacity.storage_mib, capacity.net_mbps
    )  # fmt: skip
    rows = await past.fetch(_SQL["used"], at_s, half_life_s, half_life_s * HALF_LIVES, *map(float, amounts))
    return {row["name"]: row["usage"] for row in rows}
