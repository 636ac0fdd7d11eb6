"""Which node of a pool a volume comes to lie on: one that is there and has most room."""

from __future__ import annotations

from collections.abc import Collection

from bus.errors import ApiError
from bus.refusal import refusal
from bus.units import format_size_mib
from coordinator.store.volumes import PoolRow
from coordinator.volumes import VolumeBook


class Room:
    """`find` it."""

    def __init__(self, book: VolumeBook) -> None:
        self._book = book

    def find(self, pool: PoolRow, wanted: str, size_mib: int, *, among: Collection[str] | None = None) -> str:
        """`wanted` if it is said; only nodes `among`, where that is said. Raises ApiError."""
        if wanted and wanted not in pool.nodes:
            expected = ", ".join(pool.nodes)
            raise ApiError(
                refusal("E_CONSTRAINT", "not a node of that pool", field="/node", expected=expected)
            )
        left = {
            node: pool.node_mib - self._book.given_mib(pool, node)
            for node in pool.nodes
            if wanted in ("", node) and self._usable(pool, node) and (among is None or node in among)
        }
        if not left:
            keyed = "" if among is None else f" and has the key, which {', '.join(sorted(among))} have"
            message = f"no node of pool {pool.name} can be used now{keyed}"
            hint = f"corral pool show {pool.name}"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint=hint, retry_after_s=2.0))
        node = max(left, key=lambda name: (left[name], name))
        if left[node] < size_mib:
            got = format_size_mib(size_mib)
            message = f"{node} has {format_size_mib(max(left[node], 0))} left of pool {pool.name}"
            raise ApiError(refusal("E_POOL_FULL", message, field="/size", got=got))
        self._check_copies(pool, node, size_mib)
        return node

    def _check_copies(self, pool: PoolRow, primary: str, size_mib: int) -> None:
        """Raises ApiError where not all copies would have room now."""
        roomy = [
            node
            for node in pool.nodes
            if node != primary and pool.node_mib - self._book.given_mib(pool, node) >= size_mib
        ]
        if pool.type == "replicated" and len(roomy) < pool.replicas - 1:
            beside = f"{len(roomy)} other {'node has' if len(roomy) == 1 else 'nodes have'}"
            message = f"{pool.replicas} copies are kept in pool {pool.name}, and {beside} room for one"
            raise ApiError(refusal("E_POOL_FULL", message, field="/size", got=format_size_mib(size_mib)))

    def _usable(self, pool: PoolRow, node: str) -> bool:
        found = self._book.pools_found.get((pool.id, node))
        return found is not None and not found.fault and node not in self._book.silent
