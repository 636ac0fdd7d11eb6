"""Copies of content on nodes, in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.copies import Replica, Under
from bus.replication import HeldBlob
from bus.values import NodeName, TaskRef
from coordinator.core.replication import Content, Copy, Plan, ReplicaState
from coordinator.store.connection import Session
from sql import queries

_SQL = queries("replicas")


class Counts(Struct, frozen=True):
    """Content that should have copies: all, what lacks some (and its bytes), what nobody has."""

    total: int = 0
    under: int = 0
    under_bytes: int = 0
    unheld: int = 0


class Asked(Struct, frozen=True, kw_only=True):
    """What is listed. `viewer`: by whom, None for everybody."""

    viewer: str | None = None
    job: int | None = None
    index: int | None = None
    node: str | None = None
    state: str | None = None
    limit: int = 100


class ReplicaStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def holders(self, hashes: Iterable[str]) -> dict[str, dict[NodeName, int]]:
        """Who has each, and its size in bytes."""
        found: dict[str, dict[NodeName, int]] = {}
        for row in await self._session.fetch(_SQL["holders"], list(hashes)):
            found.setdefault(row["sha256"], {})[NodeName(row["node"])] = row["size_bytes"]
        return found

    async def allowed(self, node: NodeName, hashes: Iterable[str], *, task: TaskRef | None) -> set[str]:
        """What of it the node may fetch: what was ordered of it, or content of `task`, which runs there."""
        job, index = (None, None) if task is None else (task.job, task.index)
        rows = await self._session.fetch(_SQL["allowed"], list(hashes), node, job, index)
        return {row["sha256"] for row in rows}

    async def held(self, node: NodeName, blobs: Sequence[HeldBlob]) -> list[bool]:
        """What a node found; of each, whether the cluster counts on it there."""
        row = await self._session.fetchrow(
            _SQL["held"],
            node,
            [blob.sha256 for blob in blobs],
            [blob.size for blob in blobs],
            [blob.code for blob in blobs],
        )
        assert row is not None
        return list(row["counted"])

    async def troubled(self, away: Sequence[NodeName], *, after: str, limit: int) -> list[Content]:
        """Content whose copies are not as they should be, by hash; `away`: nodes that do not count."""
        return [
            _content(row) for row in await self._session.fetch(_SQL["troubled"], list(away), after, limit)
        ]

    async def away(self) -> list[NodeName]:
        """Nodes that are unreachable, for whoever knows no cluster."""
        return [NodeName(row["name"]) for row in await self._session.fetch(_SQL["away"])]

    async def counts(self, away: Sequence[NodeName]) -> Counts:
        row = await self._session.fetchrow(_SQL["under"], list(away))
        assert row is not None
        return Counts(row["total"], row["under"], row["under_bytes"], row["unheld"])

    async def settle(self, plans: Sequence[Plan], *, epoch: int) -> bool:
        """Keep what was planned. False: another coordinator leads, and nothing changed."""
        places = [
            (plan.sha256, plan.primary, node, str(state))
            for plan in plans
            if plan.primary is not None
            for node, state in plan.places.items()
        ]
        columns: list[list[object]] = [list(column) for column in zip(*places, strict=True)] or [[]] * 4
        settled = [plan.sha256 for plan in plans if plan.primary is not None]
        row = await self._session.fetchrow(_SQL["settle"], epoch, settled, *columns)
        assert row is not None
        return bool(row["leads"])

    async def forget(self, *, epoch: int) -> int:
        """Rows of content that no task has any more; how many."""
        return len(await self._session.fetch(_SQL["forget"], epoch))

    async def spare(self, node: NodeName, hashes: Sequence[str], *, epoch: int) -> list[str]:
        """What of this the node may let go."""
        return [row["sha256"] for row in await self._session.fetch(_SQL["spare"], epoch, node, list(hashes))]

    async def dropped(self, node: NodeName, hashes: Sequence[str]) -> None:
        """The node has let them go."""
        await self._session.fetch(_SQL["dropped"], node, list(hashes))

    async def believed(self, node: NodeName, *, after: str, limit: int) -> list[str]:
        """What the node has, as far as is known."""
        return [row["sha256"] for row in await self._session.fetch(_SQL["believed"], node, after, limit)]

    async def page(self, asked: Asked, *, before: UUID | None) -> list[Replica]:
        """Newest first."""
        rows = await self._session.fetch(
            _SQL["list"],
            asked.viewer,
            asked.job,
            asked.index,
            asked.node,
            asked.state,
            asked.limit,
            before,
        )
        return [_replica(row) for row in rows]

    async def page_under(self, asked: Asked, *, away: Sequence[NodeName], after: str) -> list[Under]:
        """Content that lacks copies, by hash."""
        rows = await self._session.fetch(
            _SQL["list_under"],
            asked.viewer,
            asked.job,
            asked.index,
            asked.node,
            asked.limit,
            list(away),
            after,
        )
        return [
            Under(
                sha256=row["sha256"],
                size=row["size_bytes"],
                task=f"{row['number']}.{row['index']}",
                copies=row["copies"],
                nodes=list(row["nodes"]),
            )
            for row in rows
        ]

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()


def _content(row: Record) -> Content:
    places = msgspec.json.decode(row["places"], type=list[tuple[str, str, int]])
    return Content(
        sha256=row["sha256"],
        size=row["size_bytes"],
        copies=row["copies"],
        holders=frozenset(map(NodeName, row["holders"])),
        primary=row["primary_node"] and NodeName(row["primary_node"]),
        places=tuple(
            [
                Copy(node=NodeName(node), state=ReplicaState(state), tries=tries)
                for node, state, tries in places
            ]
        ),
    )


def _replica(row: Record) -> Replica:
    return Replica(
        id=row["id"],
        sha256=row["sha256"],
        size=row["size_bytes"],
        task=f"{row['number']}.{row['index']}",
        primary=row["primary_node"],
        node=row["node"],
        state=row["state"],
        verified_at=row["verified_at"].timestamp() if row["verified_at"] else None,
        at=row["created_at"].timestamp(),
        tries=row["tries"],
        fault=row["fault"],
    )
