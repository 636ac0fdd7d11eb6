"""Stand-ins for the stores of what tasks tell and leave."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from bus.artifacts import Artifact, KeptFile, LeftFile
from bus.children import ChildEnd
from bus.item_lists import ItemList
from bus.models import Model, ModelRegister
from bus.results import LoggedLine, MetricSeries, Told
from bus.values import AttemptRef, NodeName, TaskRef, TaskState, UserName
from coordinator.store.artifacts import ArtifactStore, Unnamed
from coordinator.store.item_lists import ItemListStore
from coordinator.store.models import ModelRow, ModelStore
from coordinator.store.results import Heard, ResultStore, WantedLines


class FakeResults(ResultStore):
    """Keeps what is told; `heard` answers for it, `kept` are the metrics of every task, asked for `of`."""

    def __init__(self) -> None:
        self.told: list[tuple[NodeName, Told]] = []
        self.kept: list[MetricSeries] = []
        self.of: list[TaskRef] = []
        self.speaks: dict[AttemptRef, UserName] = {}
        self.refused: dict[AttemptRef, list[tuple[int, str]]] = {}
        self.ended: dict[AttemptRef, list[ChildEnd]] = {}
        self.lines: list[LoggedLine] = []
        self.wanted: list[WantedLines] = []
        self.heard = lambda told: Heard(told.end, "alice", TaskState.RUNNING, told.faults > 0)

    async def speaker(self, node: NodeName, attempt: AttemptRef) -> UserName | None:
        return self.speaks.get(attempt)

    async def hear(self, node: NodeName, told: tuple[Told, ...]) -> list[Heard]:
        self.told += [(node, each) for each in told]
        return [self.heard(each) for each in told]

    async def refuse(self, attempt: AttemptRef, place: int, reason: str) -> None:
        self.refused.setdefault(attempt, []).append((place, reason))

    async def children(self, attempt: AttemptRef, *, limit: int) -> list[ChildEnd]:
        return self.ended.get(attempt, [])[:limit]

    async def metrics(
        self, task: TaskRef, *, viewer: str | None, names: list[str] | None, points: int
    ) -> list[MetricSeries]:
        self.of.append(task)
        return [one for one in self.kept if names is None or one.name in names]

    async def logged(self, wanted: WantedLines) -> list[LoggedLine]:
        self.wanted.append(wanted)
        return self.lines[-wanted.limit :]


class FakeItemLists(ItemListStore):
    """Keeps lists in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, ItemList] = {}

    async def find(self, sha256: str) -> ItemList | None:
        return self.kept.get(sha256)

    async def keep(self, sha256: str, items: ItemList) -> None:
        self.kept[sha256] = items


class FakeArtifacts(ArtifactStore):
    """Keeps what it is given; `add` makes one that everybody sees."""

    def __init__(self) -> None:
        self.kept: list[tuple[NodeName, LeftFile, UserName | None]] = []
        self.found: list[Artifact] = []
        self.without_name: list[Unnamed] = []

    def add(self, name: str, sha256: str, *, nodes: list[str]) -> None:
        pointer = f"corral://{sha256}"
        self.found.append(
            Artifact(
                id=str(UUID(int=len(self.found))),
                name=name,
                media_type="text/plain",
                size=5,
                sha256=sha256,
                pointer=pointer,
                user="alice",
                at=0.0,
                nodes=nodes,
            )
        )

    async def keep(self, node: NodeName, file: LeftFile, *, owner: UserName | None) -> KeptFile:
        self.kept.append((node, file, owner))
        return KeptFile(str(UUID(int=len(self.kept))))

    async def page(
        self, *, viewer: str | None, job: int | None, index: int | None, limit: int, before: UUID | None
    ) -> list[Artifact]:
        return self.found[:limit]

    async def find(
        self, *, viewer: str | None, prefix: str, name: str, task: TaskRef | None, sha256: str = ""
    ) -> list[Artifact]:
        return [one for one in self.found if one.name == name or one.sha256 == sha256]

    async def remove(self, identity: str, *, by: UserName) -> bool:
        self.found = [one for one in self.found if one.id != identity]
        return True

    async def orphans(self, *, remove: bool) -> int:
        return 0

    async def unnamed(self, *, with_orphans: bool) -> list[Unnamed]:
        return self.without_name

    async def mark(self, node: NodeName, hashes: list[str]) -> list[str]:
        return hashes

    async def dropped(self, node: NodeName, hashes: list[str]) -> None:
        self.without_name = [one for one in self.without_name if one.sha256 not in hashes]


class FakeModels(ModelStore):
    """Versions of what `artifacts` has; `used` says which jobs name which."""

    def __init__(self, artifacts: FakeArtifacts) -> None:
        self._artifacts = artifacts
        self.rows: list[ModelRow] = []
        self.used: dict[str, list[int]] = {}

    async def register(self, asked: ModelRegister, artifact: str, *, by: str) -> ModelRow | None:
        known = await self.find(asked.name, asked.version, removed=True)
        if known is not None:
            return known
        found = next((one for one in self._artifacts.found if one.id == artifact), None)
        if found is None:
            return None
        model = Model(
            name=asked.name,
            version=asked.version,
            file=found.name,
            media_type=found.media_type,
            size=found.size,
            sha256=found.sha256,
            url=found.pointer,
            user=by,
            at=float(len(self.rows)),
            tags=asked.tags,
            metrics=asked.metrics,
            config=asked.config,
            nodes=found.nodes,
        )
        self.rows.append(ModelRow(model, False, str(UUID(int=len(self.rows)))))
        return self.rows[-1]

    async def find(self, name: str, version: str, *, removed: bool = False) -> ModelRow | None:
        for row in reversed(self.rows):
            if row.model.name == name and version in ("", row.model.version) and removed >= row.removed:
                return row
        return None

    async def page(self, *, name: str, tag: str, limit: int, before: UUID | None) -> list[ModelRow]:
        kept = [row for row in reversed(self.rows) if not row.removed]
        named = [row for row in kept if name in ("", row.model.name) and (not tag or tag in row.model.tags)]
        return [row for row in named if before is None or row.id < str(before)][:limit]

    async def users_of(self, name: str, version: str) -> list[int]:
        return self.used.get(f"{name}@{version}", [])

    async def remove(self, name: str, version: str, *, by: str) -> bool:
        row = await self.find(name, version)
        if row is not None:
            self.rows[self.rows.index(row)] = replace(row, removed=True)
        return row is not None
