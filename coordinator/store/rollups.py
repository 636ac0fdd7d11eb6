"""Roll-ups of the gauges by minutes and hours, made as time passes; on a connection of its own.

Each is complete up to an instant that stands in `corral.rollups`. A stretch is made again as a whole, in one
transaction with that instant: so it may be made twice, and whoever stops in between leaves nothing half done.
"""

from __future__ import annotations

import asyncio
import logging
import math

from msgspec import Struct

from bus.series import METRICS, SeriesKind
from coordinator.clock import Clock
from coordinator.store.connection import Session
from coordinator.store.errors import StoreError
from coordinator.store.series import HOUR_S, MINUTE_S
from sql import queries

log = logging.getLogger(__name__)

EVERY_S = 30.0
LAG_S = 15.0
"""A minute is rolled up when its last samples have had time to be written."""

CATCH_UP_S, BREATH_S = 2.0, 5.0
"""Where there is much to make up for: so long at once, and so long the database is everybody else's."""

_SQL = queries("series")


class RollUp(Struct, frozen=True):
    """A table, out of what it is made, and how much of that at once."""

    table: str
    query: str
    width_s: float
    at_once_s: float
    of: str = ""  # the roll-up that it is made of; "": of samples


ROLL_UPS = (
    RollUp("node_usage_minutes", "node_minutes", MINUTE_S, HOUR_S),
    RollUp("node_usage_hours", "node_hours", HOUR_S, 24 * HOUR_S, "node_usage_minutes"),
    RollUp("gpu_usage_minutes", "gpu_minutes", MINUTE_S, HOUR_S),
    RollUp("gpu_usage_hours", "gpu_hours", HOUR_S, 24 * HOUR_S, "gpu_usage_minutes"),
    RollUp("cluster_metrics_minutes", "cluster_minutes", MINUTE_S, 6 * HOUR_S),
    RollUp("cluster_metrics_hours", "cluster_hours", HOUR_S, 240 * HOUR_S, "cluster_metrics_minutes"),
)


class RollUps:
    """`run` keeps them up; raises nothing where the database is away, but tries again."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._session = Session(dsn)
        self._clock = clock

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                done = await self.catch_up()
            except StoreError as error:
                log.warning("roll-ups of the time-series wait: %s", error)
                done = True
            await asyncio.sleep(EVERY_S if done else BREATH_S)

    async def catch_up(self, *, for_s: float = CATCH_UP_S) -> bool:
        """Roll up what is over, for so long at most; whether nothing is left. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + for_s
        now_s = self._clock.now_s() - LAG_S
        rows = await self._session.fetch(_SQL["rolled"])
        until = {row["table_name"]: row["until_s"] for row in rows}
        for each in ROLL_UPS:
            end_s = _floor(min(now_s, until.get(each.of, now_s)), each.width_s)
            if until[each.table] > end_s + each.width_s:  # the clock of the leader before was ahead
                await self._session.fetchrow(_SQL["set_rolled"], each.table, until[each.table], end_s)
                until[each.table] = end_s
            while until[each.table] < end_s:
                if loop.time() >= give_up_at:
                    return False
                reached_s = await self._roll(each, until[each.table], end_s)
                if reached_s is None:
                    return False
                until[each.table] = reached_s
        return True

    async def _roll(self, each: RollUp, from_s: float, end_s: float) -> float | None:
        """One stretch; answers where it ends. None: late samples came meanwhile, and took it back."""
        to_s = min(end_s, from_s + each.at_once_s)
        gauges = [list(METRICS[SeriesKind.CLUSTER])] if each.table.startswith("cluster") else []
        async with self._session.use() as connection, connection.transaction():
            await connection.execute(_SQL[f"unroll_{each.query}"], from_s, to_s)
            await connection.execute(_SQL[f"roll_{each.query}"], from_s, to_s, *gauges)
            moved = await connection.fetchrow(_SQL["set_rolled"], each.table, from_s, to_s)
        return None if moved is None else to_s


def _floor(at_s: float, width_s: float) -> float:
    return math.floor(at_s / width_s) * width_s
