"""A stand-in for the store of checkpoints."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from bus.checkpoints import Checkpoint, CheckpointFile, CheckpointKind, Saved
from bus.values import AttemptRef, NodeName, TaskRef, UserName
from coordinator.store.checkpoints import CheckpointStore, Kept, Resumed


class FakeCheckpoints(CheckpointStore):
    """Keeps what it is given. `found` is what everybody sees, `answer` and `resumed` what agents hear."""

    def __init__(self) -> None:
        self.saved: list[tuple[NodeName, Saved]] = []
        self.found: list[Checkpoint] = []
        self.listed: list[CheckpointFile] = []
        self.answer = Kept(id="c1", complete=True)
        self.resumed = Resumed()
        self.live: list[str] = []
        self.freed: list[str] = []

    def add(self, task: str, step: int, **fields: object) -> Checkpoint:
        """One that everybody sees."""
        made = Checkpoint(
            id=str(UUID(int=(len(self.found) + 1) << 96)), task=task, attempt=1, step=step,
            kind=CheckpointKind.REGULAR, path=f"step-{step}", complete=True, size=5, files=1, digest="d",
            ranks=1, world_size=1, replicas=1, copies=1, durable=False, chosen=False, at=0.0, nodes=["n1"],
        )  # fmt: skip
        made = replace(made, **fields)  # type: ignore[arg-type]
        self.found.append(made)
        return made

    async def keep(self, node: NodeName, saved: Saved) -> Kept:
        self.saved.append((node, saved))
        return self.answer

    async def resume(self, node: NodeName, attempt: AttemptRef, *, live: list[str]) -> Resumed:
        self.live = live
        return self.resumed

    async def files(self, identity: str, *, rank: int | None = None) -> list[CheckpointFile]:
        return [file for file in self.listed if rank in (None, file.rank)]

    async def page(
        self, *, viewer: str | None, job: int | None, index: int | None, limit: int, before: UUID | None
    ) -> list[Checkpoint]:
        older = [one for one in self.found if before is None or UUID(one.id) < before]
        return sorted(older, key=lambda one: one.id, reverse=True)[:limit]

    async def find(
        self, *, viewer: str | None, prefix: str, task: TaskRef | None, step: int | None
    ) -> list[Checkpoint]:
        if task is None:
            return [one for one in self.found if prefix and one.id.replace("-", "").startswith(prefix)]
        return [one for one in self.found if one.task == str(task) and step in (None, one.step)]

    async def best(
        self, *, viewer: str | None, job: int, index: int | None, metric: str, most: bool
    ) -> Checkpoint | None:
        having = [one for one in self.found if metric in one.metrics]
        having.sort(key=lambda one: one.metrics[metric], reverse=most)
        return having[0] if having else None

    async def metrics(self, *, viewer: str | None, job: int, index: int | None) -> list[str]:
        return sorted({name for one in self.found for name in one.metrics})

    async def choose(self, identity: str, *, by: UserName) -> None:
        self.found = [replace(one, chosen=one.id == identity) for one in self.found]

    async def remove(self, identity: str, *, by: UserName) -> list[str]:
        self.found = [one for one in self.found if one.id != identity]
        return self.freed

    async def close(self) -> None:
        pass
