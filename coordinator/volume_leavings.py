"""Volumes that go while a node with them is lost: who waits for what, and what is left for its return.

A volume that is removed waits for all nodes that have it. One that never comes back would keep it, its room
and its pool for ever: so an operator may give up what lies on lost nodes. That is written as left over, and
a node that comes back after all is told to let go of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.errors import ApiError
from bus.refusal import refusal
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.store.leftovers import LeftoverStore
from coordinator.store.volumes import PoolRow, VolumeRow
from coordinator.volumes import VolumeBook


class VolumeLeavings:
    """`look` after each time that the nodes were asked. `is_lost`: nothing goes on there that was begun."""

    def __init__(
        self,
        book: VolumeBook,
        store: LeftoverStore,
        clock: Clock,
        *,
        is_lost: Callable[[str], bool],
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._is_lost = is_lost
        self._record = record

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable."""
        for row in self._book.volumes.values():
            if row.removing:
                self._judge(row)
        changed = False
        for (identity, node), each in list(self._book.leftovers.items()):
            if identity in self._book.volumes and node in self._book.nodes_of(self._book.volumes[identity]):
                continue  # it is told of the volume itself
            if each.kind == "pool":
                part = self._book.pools_found.get((identity, node))
                is_gone = part is not None and not part.fault
            elif each.kind == "backup":
                answer = self._book.backups_found.get((identity, node))
                is_gone = answer is not None and answer.removed
            else:
                found = self._book.found.get((identity, node))
                is_gone = found is not None and not (found.ready or found.damaged)
            if not is_gone or node in self._book.silent:
                continue
            await self._store.gone(each)
            self._book.found.pop((identity, node), None)
            self._event(
                "volume_left", "info", f"{node} is back and let go of {each.kind} {each.name}", each.name
            )
            changed = True
        return changed

    async def give_up(self, row: VolumeRow, *, by: str) -> None:
        """What of it lies on lost nodes. Raises ApiError where none is lost, StoreUnavailable."""
        lost = self._lost(row)
        if not lost:
            message = f"no node that has volume {row.name} is lost"
            hint = "a node is lost when its leases have run out, some 16 s after its last heartbeat"
            raise ApiError(refusal("E_CONFLICT", message, field="/lost", hint=hint))
        await self._store.give_up(row.id, lost, by=by)
        text = f"{by} gave up what of volume {row.name} lies on {', '.join(lost)}"
        self._event("volume_given_up", "warning", text, row.name)

    async def leave(self, pool: PoolRow, *, by: str) -> None:
        """A pool that is removed: nodes that do not answer are told once they do."""
        away = [node for node in pool.nodes if node in self._book.silent]
        if away:
            await self._store.leave_pool(pool.id, pool.name, pool.path, nodes=away, by=by)

    def _lost(self, row: VolumeRow) -> list[str]:
        return [
            node
            for node in self._book.nodes_of(row)
            if (row.id, node) not in self._book.leftovers and self._is_lost(node)
        ]

    def _judge(self, row: VolumeRow) -> None:
        """Why it does not go, once for each reason."""
        lost = self._lost(row)
        if not lost:
            self._book.stuck.pop(row.id, None)
            return
        where = ", ".join(lost)
        why = f"it goes when {where} is back, which is lost; an operator can give that up: rm --now --lost"
        if self._book.stuck.get(row.id) != why:
            self._book.stuck[row.id] = why
            text = f"volume {row.name} is being removed and stays on {where}, which is lost"
            self._event("volume_stuck", "warning", text, row.name)

    def _event(self, kind: str, severity: str, text: str, volume: str) -> None:
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity=severity,
            message=text,
            details={"volume": volume},
        )
        self._record([event])
