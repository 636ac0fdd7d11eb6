"""A stand-in for what the database knows of content and its copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from bus.copies import Replica, Under
from bus.replication import HeldBlob
from bus.values import NodeName, TaskRef
from coordinator.core.replication import Content, Copy, Plan, ReplicaState
from coordinator.store.replicas import Asked, Counts, ReplicaStore


class FakeReplicas(ReplicaStore):
    """`want` content with copies; `blobs` says who has it, `rows` the state of each place. `leads`: we do."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[int, int, TaskRef]] = {}
        self.blobs: dict[str, set[NodeName]] = {}
        self.primary: dict[str, NodeName] = {}
        self.rows: dict[str, dict[NodeName, ReplicaState]] = {}
        self.tries: dict[tuple[str, NodeName], int] = {}
        self.leads = True
        self.asked: list[object] = []
        self.dropping: set[tuple[str, NodeName]] = set()

    def want(self, sha256: str, *nodes: str, size: int = 5, copies: int = 1, task: str = "1.0") -> None:
        job, _, index = task.partition(".")
        self.wanted[sha256] = (size, copies, TaskRef(int(job), int(index)))
        self.blobs[sha256] = set(map(NodeName, nodes))

    async def holders(self, hashes: Iterable[str]) -> dict[str, dict[NodeName, int]]:
        return {h: dict.fromkeys(self.blobs[h], 5) for h in hashes if self.blobs.get(h)}

    async def allowed(self, node: NodeName, hashes: Iterable[str], *, task: TaskRef | None) -> set[str]:
        return {
            h
            for h in hashes
            if node in self.rows.get(h, {}) or (h in self.wanted and self.wanted[h][2] == task)
        }

    async def held(self, node: NodeName, blobs: Sequence[HeldBlob]) -> list[bool]:
        counted = []
        for blob in blobs:
            has_row = node in self.rows.get(blob.sha256, {})
            holders = self.blobs.setdefault(blob.sha256, set())
            if not blob.code:
                counted.append(has_row or node in holders)
                if has_row:
                    holders.add(node)
                    self.rows[blob.sha256][node] = ReplicaState.ACTIVE
            else:
                counted.append(blob.sha256 in self.wanted)
                if blob.code != "E_SPACE":
                    holders.discard(node)
                if has_row:
                    self.rows[blob.sha256][node] = ReplicaState.OUT_OF_SYNC
                    self.tries[blob.sha256, node] = self.tries.get((blob.sha256, node), 0) + 1
        return counted

    async def troubled(self, away: Sequence[NodeName], *, after: str, limit: int) -> list[Content]:
        found = [
            Content(
                sha256=sha256,
                size=size,
                copies=copies,
                holders=frozenset(self.blobs[sha256]),
                primary=self.primary.get(sha256),
                places=tuple(
                    [
                        Copy(node=node, state=state, tries=self.tries.get((sha256, node), 0))
                        for node, state in self.rows.get(sha256, {}).items()
                    ]
                ),
            )
            for sha256, (size, copies, _) in sorted(self.wanted.items())
            if sha256 > after
        ]
        return found[:limit]

    async def away(self) -> list[NodeName]:
        return []

    async def counts(self, away: Sequence[NodeName]) -> Counts:
        there = {h: self.blobs[h] - set(away) for h in self.wanted}
        under = [h for h, nodes in there.items() if len(nodes) <= self.wanted[h][1]]
        unheld = sum(not nodes for nodes in there.values())
        return Counts(len(there), len(under), sum(self.wanted[h][0] for h in under), unheld)

    async def settle(self, plans: Sequence[Plan], *, epoch: int) -> bool:
        if not self.leads:
            return False
        for plan in plans:
            if plan.primary is not None:
                self.primary[plan.sha256] = plan.primary
                self.rows[plan.sha256] = dict(plan.places)
        return True

    async def forget(self, *, epoch: int) -> int:
        gone = [sha256 for sha256 in self.rows if sha256 not in self.wanted]
        for sha256 in gone:
            del self.rows[sha256]
        return len(gone)

    async def spare(self, node: NodeName, hashes: Sequence[str], *, epoch: int) -> list[str]:
        free = [h for h in hashes if node not in self.rows.get(h, {}) and self.primary.get(h) != node]
        self.dropping.update((h, node) for h in free)
        return free

    async def dropped(self, node: NodeName, hashes: Sequence[str]) -> None:
        for sha256 in hashes:
            self.blobs[sha256].discard(node)
            self.dropping.discard((sha256, node))

    async def believed(self, node: NodeName, *, after: str, limit: int) -> list[str]:
        return sorted(h for h, nodes in self.blobs.items() if node in nodes and h > after)[:limit]

    async def page(self, asked: Asked, *, before: UUID | None) -> list[Replica]:
        self.asked.append((asked, before))
        return [
            Replica(
                id=f"{number:032x}",
                sha256=sha256,
                size=self.wanted[sha256][0],
                task=str(self.wanted[sha256][2]),
                primary=self.primary[sha256],
                node=node,
                state=state,
                at=0.0,
            )
            for number, (sha256, rows) in enumerate(sorted(self.rows.items()))
            for node, state in rows.items()
        ][: asked.limit]

    async def page_under(self, asked: Asked, *, away: Sequence[NodeName], after: str) -> list[Under]:
        self.asked.append((asked, after))
        return [
            Under(sha256=h, size=size, task=str(task), copies=copies, nodes=sorted(self.blobs[h]))
            for h, (size, copies, task) in sorted(self.wanted.items())
            if len(self.blobs[h] - set(away)) <= copies and h > after
        ][: asked.limit]

    async def close(self) -> None:
        """There is nothing."""
