"""Letting content go that nothing names any more: marked, dropped by its node, forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from msgspec import Struct

from coordinator.store.artifacts import ArtifactStore, Unnamed
from coordinator.store.errors import StoreError
from coordinator.tell import Teller

log = logging.getLogger(__name__)

_AT_ONCE = 500


class Collected(Struct):
    """`waiting`: pieces on nodes that did not answer, or that somebody names again."""

    blobs: int = 0
    bytes: int = 0
    waiting: int = 0


class Collector:
    """For everybody who names content: each piece is checked again by the statement that marks it."""

    def __init__(self, store: ArtifactStore, teller: Teller) -> None:
        self._store = store
        self._teller = teller

    async def collect(self, unnamed: Iterable[Unnamed]) -> Collected:
        """Have nodes let go of these. Raises StoreError."""
        done = Collected()
        sizes = {(blob.node, blob.sha256): blob.size for blob in unnamed}
        for node in sorted({node for node, _ in sizes}):
            hashes = [sha256 for name, sha256 in sizes if name == node]
            for start in range(0, len(hashes), _AT_ONCE):
                marked = await self._store.mark(node, hashes[start : start + _AT_ONCE])
                problem = await self._teller.drop_blobs(node, marked) if marked else None
                if problem is not None:
                    log.warning("node %s keeps what nothing names: %s", node, problem)
                    done.waiting += len(marked)
                    continue
                await self._store.dropped(node, marked)
                done.blobs += len(marked)
                done.bytes += sum(sizes[node, sha256] for sha256 in marked)
        return done

    async def let_go(self, hashes: list[str]) -> None:
        """What lost a name just now, wherever it lies, if that was its last one.

        What fails waits for `artifact gc`.
        """
        wanted = set(hashes)
        try:
            unnamed = await self._store.unnamed(with_orphans=False)
            await self.collect([blob for blob in unnamed if blob.sha256 in wanted])
        except StoreError as error:
            log.warning("content that nothing names any more stays: %s", error)
