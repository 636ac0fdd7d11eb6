"""Checkpoints: what nodes keep of tasks that save, and from what a new attempt goes on: `checkpoint.*`.

Like results and artifacts they go past the core: what makes it safe stands in functions of the database,
which hear only the attempt that counts. Who may see a job may see its checkpoints; its owner and operators
choose and remove.
"""

from __future__ import annotations

import asyncio
import logging
import re

from msgspec import Struct

from bus.artifacts import GET
from bus.checkpoints import (
    Checkpoint,
    CheckpointBest,
    CheckpointDetails,
    CheckpointFile,
    CheckpointList,
    CheckpointQuery,
    Checkpoints,
    CheckpointUse,
    ResumeAsked,
    ResumeReply,
    Saved,
    SavedReply,
)
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.sessions import StreamOpen
from bus.values import RANK_STRIDE, NodeHealth, NodeName, TaskRef
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.jobs import check_range
from coordinator.api.listing import LIMIT_MAX, cut, row_of
from coordinator.api.streams import Place, Target
from coordinator.collecting import Collector
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.store.checkpoints import CheckpointStore, saved_files
from coordinator.store.rows import UserRow

log = logging.getLogger(__name__)

_PREFIX = re.compile(r"[0-9a-f]{8,32}")
_OF_TASK = re.compile(r"(?P<task>(?:@last|[0-9]{1,18})\.[0-9]{1,7})(?:@(?P<step>[0-9]{1,16}))?")
_WHY = {
    "E_FENCED": "the attempt does not count any more",
    "E_CONFLICT": "this step has other content already, or newer ones have taken its place",
    "E_UNAVAILABLE": "the same content is being let go just now",
}


class CheckpointDesk:
    """`keep` and `resume` for the agents' door, `handlers` for the clients', `kinds` for their streams.

    `others`: where content is that is none of a checkpoint.
    """

    def __init__(
        self,
        loop: Loop,
        store: CheckpointStore,
        finder: Finder,
        notices: Notices,
        collector: Collector,
        *,
        others: dict[str, Place],
    ) -> None:
        self._loop = loop
        self._store = store
        self._finder = finder
        self._notices = notices
        self._collector = collector
        self._others = others[GET]
        self._letting_go: set[asyncio.Task[None]] = set()
        self.kinds: dict[str, Place] = others | {GET: self._place_get}
        self.handlers = {
            "checkpoint.list": self.page,
            "checkpoint.show": self.show,
            "checkpoint.best": self.best,
            "checkpoint.use": self.use,
            "checkpoint.remove": self.remove,
        }

    async def keep(self, node: NodeName, saved: Saved) -> SavedReply:
        """What a node has of a task that saved, or could not take. Raises StoreUnavailable."""
        if saved.code:
            self._note(node, saved, saved.code, saved.message)
            return SavedReply(code=saved.code, message=saved.message)
        kept = await self._store.keep(node, saved)
        if kept.refused:
            if kept.refused == "E_CONFLICT" and not saved.emergency:
                self._note(node, saved, kept.refused, _WHY[kept.refused])
            return SavedReply(code=kept.refused, message=_WHY[kept.refused])
        if kept.freed:
            self._let_go(list(kept.freed))
        return SavedReply(id=kept.id, complete=kept.complete, gone=kept.gone)

    async def resume(self, node: NodeName, asked: ResumeAsked) -> ResumeReply:
        """From what an attempt goes on. Raises StoreUnavailable, ApiError (E_FENCED, E_CKPT)."""
        await self._loop.barrier()
        live = [n.name for n in self._loop.cluster.nodes.values() if n.health is not NodeHealth.UNREACHABLE]
        found = await self._store.resume(node, asked.attempt, live=list(live))
        if found.refused:
            raise ApiError(refusal(found.refused, _WHY[found.refused]))
        if found.passed:
            text = f"{asked.attempt}: {found.passed} newer checkpoint(s) are on no node that answers"
            went = f"; it goes on from step {found.step}" if found.id else "; it begins anew"
            self._notices.note(node, "checkpoint_passed", text + went, attempt=asked.attempt)
        if not found.id:
            return ResumeReply()
        task = TaskRef(asked.attempt.job, asked.attempt.index % RANK_STRIDE)
        if found.sharded:
            check_world(found.world_size, self._world_of(task), of=str(task))
        files = await self._store.files(found.id, rank=asked.attempt.rank if found.sharded else None)
        return ResumeReply(id=found.id, step=found.step, path=found.path, files=saved_files(files))

    async def page(self, user: UserRow, request: Struct) -> Checkpoints:
        """`checkpoint.list`: raises ApiError (E_RANGE, E_CURSOR, and what ids raise)."""
        assert isinstance(request, CheckpointList)
        check_range(request.limit, 1, LIMIT_MAX, field="/limit")
        job, index = await self._finder.target_if_any(user, request.target, field="/target")
        found = await self._store.page(
            viewer=viewer(user),
            job=job,
            index=index,
            limit=request.limit + 1,
            before=row_of(request.cursor),
        )
        page, following = cut(found, request.limit, lambda each: each.id)
        return Checkpoints(checkpoints=page, next=following)

    async def show(self, user: UserRow, request: Struct) -> CheckpointDetails:
        """`checkpoint.show`: raises ApiError (E_NOT_FOUND, E_AMBIGUOUS)."""
        assert isinstance(request, CheckpointQuery)
        found = await self._find(user, request.checkpoint, field="/checkpoint")
        return CheckpointDetails(checkpoint=found, files=await self._store.files(found.id))

    async def best(self, user: UserRow, request: Struct) -> Checkpoint:
        """`checkpoint.best`: raises ApiError (E_NOT_FOUND)."""
        assert isinstance(request, CheckpointBest)
        job, index = await self._finder.target(user, request.target, field="/target")
        found = await self._store.best(
            viewer=viewer(user), job=job, index=index, metric=request.metric, most=request.most
        )
        if found is not None:
            return found
        known = await self._store.metrics(viewer=viewer(user), job=job, index=index)
        message = f"no complete checkpoint of {request.target} has a metric {request.metric[:60]!r}"
        hint = f"they have {', '.join(known[:20])}" if known else "none of them has metrics"
        raise ApiError(refusal("E_NOT_FOUND", message, field="/metric", got=quote(request.metric), hint=hint))

    async def use(self, user: UserRow, request: Struct) -> Checkpoint:
        """`checkpoint.use`: raises ApiError (E_CKPT where it is of another task, or not complete)."""
        assert isinstance(request, CheckpointUse)
        task = await self._finder.task(user, request.task, field="/task")
        found = await self._find(user, request.checkpoint, field="/checkpoint")
        check_usable(found, task, world_size=self._world_of(task))
        await self._store.choose(found.id, by=user.name)
        return await self._find(user, found.id, field="/checkpoint")

    async def remove(self, user: UserRow, request: Struct) -> Checkpoint:
        """`checkpoint.remove`: of one's own, or by an operator."""
        assert isinstance(request, CheckpointQuery)
        found = await self._find(user, request.checkpoint, field="/checkpoint")
        freed = await self._store.remove(found.id, by=user.name)
        if freed:
            self._let_go(freed)
        return found

    async def settled(self) -> None:
        """Until content that nothing names any more has been let go, as far as nodes answer."""
        while self._letting_go:
            await asyncio.wait(self._letting_go)

    def _let_go(self, hashes: list[str]) -> None:
        """Beside: whoever saved or removed need not wait for nodes. What fails is collected another time."""
        task = asyncio.create_task(self._collector.let_go(hashes), name="content of checkpoints")
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def _find(self, user: UserRow, text: str, *, field: str) -> Checkpoint:
        prefix = text.lower().replace("-", "")
        task, step = None, None
        if (match := _OF_TASK.fullmatch(text)) is not None:
            task = await self._finder.task(user, match["task"], field=field)
            step = int(match["step"]) if match["step"] else None
        found = await self._store.find(
            viewer=viewer(user), prefix=prefix if _PREFIX.fullmatch(prefix) else "", task=task, step=step
        )
        if not found:
            hint = "corral checkpoint ls shows ids; 1042.7@1200 is the one of step 1200"
            raise ApiError(
                refusal("E_NOT_FOUND", "no such checkpoint", field=field, got=quote(text), hint=hint)
            )
        if len(found) > 1 and task is None:
            raise ApiError(refusal("E_AMBIGUOUS", field=field, got=quote(text), hint="write more of the id"))
        return found[0]

    def _world_of(self, task: TaskRef) -> int:
        """How many ranks a live task has; 0: it is over, and not known here any more."""
        job = self._loop.cluster.jobs.get(task.job)
        group = job.group_of(task.index) if job is not None else None
        if group is None:
            return 0
        return 1 if group.settings.gang is None else group.settings.gang.size

    async def _place_get(self, user: UserRow, request: StreamOpen) -> Target:
        if "checkpoint" not in request.params:
            return await self._others(user, request)
        params = request.params
        offset, name, rank = params.get("offset", 0), params.get("name", ""), params.get("rank", 0)
        if type(offset) is not int or offset < 0:
            raise ApiError(refusal("E_TYPE", field="/params/offset", got=quote(offset), expected="bytes"))
        found = await self._find(user, str(params["checkpoint"]), field="/params/checkpoint")
        files = [f for f in await self._store.files(found.id) if (f.rank, f.name) == (rank, name)]
        if not files:
            raise ApiError(refusal("E_NOT_FOUND", "no such file", field="/params/name", got=quote(name)))
        return Target(await self._holder(files[0]), params={"sha256": files[0].sha256, "offset": offset})

    async def _holder(self, file: CheckpointFile) -> NodeName:
        await self._loop.barrier()
        for name in file.nodes:
            node = self._loop.cluster.nodes.get(NodeName(name))
            if node is not None and node.health is not NodeHealth.UNREACHABLE:
                return node.name
        hint = f"it lies on {', '.join(file.nodes)}" if file.nodes else "no node has its content"
        raise ApiError(refusal("E_UNAVAILABLE", "no node that has it answers", hint=hint, retry_after_s=5.0))

    def _note(self, node: NodeName, saved: Saved, code: str, message: str) -> None:
        text = f"{saved.attempt} on {node}: checkpoint {saved.path!r} was not kept: {code}: {message}"
        self._notices.note(node, "checkpoint_refused", text, attempt=saved.attempt)


def check_usable(checkpoint: Checkpoint, task: TaskRef, *, world_size: int) -> None:
    """Whether a task can go on from it. Raises ApiError (E_CKPT) with both values."""
    if checkpoint.task != str(task):
        raise ApiError(
            refusal(
                "E_CKPT",
                "it is of another task",
                field="/checkpoint",
                got=checkpoint.task,
                expected=str(task),
            )
        )
    if not checkpoint.complete:
        got = f"{checkpoint.ranks} of {checkpoint.world_size} ranks"
        raise ApiError(
            refusal("E_CKPT", "it is not complete", field="/checkpoint", got=got, expected="all ranks")
        )
    if checkpoint.ranks > 1:
        check_world(checkpoint.world_size, world_size, of=str(task))


def check_world(saved: int, wanted: int, *, of: str) -> None:
    """Shards are gone on from by as many ranks as saved them. `wanted` 0: not known.

    Raises ApiError (E_CKPT).
    """
    if wanted not in (0, saved):
        got, expected = f"{saved} shards", f"{wanted}, the ranks of {of}"
        raise ApiError(
            refusal("E_CKPT", "it was saved by another number of ranks", got=got, expected=expected)
        )
