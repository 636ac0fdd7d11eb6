"""Pools and volumes: what is known of them, who is asked about them, who keeps nodes at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coordinator.api.service import Handler
from coordinator.api.volumes import VolumeDesk
from coordinator.clock import Clock
from coordinator.core.effects import Record
from coordinator.loop import Loop
from coordinator.pool_drivers import make_key
from coordinator.store.backups import BackupStore
from coordinator.store.leftovers import LeftoverStore
from coordinator.store.volumes import VolumeStore
from coordinator.tell import Teller
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook


class Storage:
    """`keeper` runs beside the doors; `handlers` are behind them."""

    def __init__(
        self,
        dsn: str,
        loop: Loop,
        teller: Teller,
        clock: Clock,
        *,
        epoch: int,
        record: Callable[[Sequence[Record]], object],
        backup_again_after_s: float,
    ) -> None:
        self._stores = VolumeStore(dsn), LeftoverStore(dsn), BackupStore(dsn)
        self.book = VolumeBook()
        self.keeper = VolumeKeeper(
            self.book,
            *self._stores,
            teller,
            loop,
            clock=clock,
            epoch=epoch,
            record=record,
            backup_again_after_s=backup_again_after_s,
        )
        store, _, backups = self._stores
        desk = VolumeDesk(loop, self.book, store, backups, self.keeper, make_key=make_key)
        self.handlers: dict[str, Handler] = dict(desk.handlers)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
