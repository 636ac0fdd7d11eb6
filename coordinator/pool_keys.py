"""Sees to it that all nodes of an encrypted pool have its key; we keep it no longer than that takes."""

from __future__ import annotations

import logging

from coordinator.core.pool_keys import Part, Way, plan_key
from coordinator.pool_drivers import MakeKey
from coordinator.store.volumes import PoolRow
from coordinator.volumes import VolumeBook

log = logging.getLogger(__name__)


class PoolKeys:
    """`look` after each time that the nodes were asked."""

    def __init__(self, book: VolumeBook, make_key: MakeKey) -> None:
        self._book = book
        self._make_key = make_key

    def look(self) -> bool:
        """Whether the nodes should be asked again at once."""
        found = [self._see(pool) for pool in self._book.pools.values() if pool.encrypt]
        return any(found)

    def _see(self, pool: PoolRow) -> bool:
        parts = [self._part(pool, node) for node in pool.nodes]
        is_empty = not any(row.pool == pool.id for row in self._book.volumes.values()) and not any(
            pool.id in (row.source_pool, row.pool) for row in self._book.backups.values()
        )
        way, node = plan_key(parts, is_known=pool.id in self._book.keys, is_empty=is_empty)
        before = self._book.key_holders.pop(pool.id, "")
        match way:
            case Way.NONE:
                if self._book.keys.pop(pool.id, None) is not None:
                    log.info("pool %s: its nodes have its key", pool.name)
                return False
            case Way.ASK:
                self._book.key_holders[pool.id] = node
                return before != node  # one that does not say it is asked again in its turn
            case Way.MAKE:
                self._book.keys[pool.id] = self._make_key()
                return True
            case Way.WAIT:
                return False

    def _part(self, pool: PoolRow, node: str) -> Part:
        found = self._book.pools_found.get((pool.id, node))
        heard = found is not None and node not in self._book.silent
        return Part(node=node, answered=heard, keyless=found is not None and found.keyless)
