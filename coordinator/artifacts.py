"""Artifacts: what nodes keep becomes one, people list, fetch, bring and remove them. `artifact.*`.

Bytes never come here: they go between the client and the node that this desk names. Who may see a job may
see what its tasks left; what somebody brought is theirs, and operators see everything.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bus.artifact_names import NameFault, check_name
from bus.artifacts import (
    GET,
    PUT,
    SIZE_MAX,
    Artifact,
    ArtifactCollect,
    ArtifactList,
    ArtifactQuery,
    Artifacts,
    ArtifactsCollected,
    Kept,
    KeptFile,
    KeptReply,
    LeftFile,
)
from bus.contents import Scheme
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.sessions import StreamOpen
from bus.values import NodeHealth, NodeKind, NodeName, UserName
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.api.jobs import check_range
from coordinator.api.listing import LIMIT_MAX, cut, row_of
from coordinator.api.streams import Place, Target
from coordinator.collecting import Collector
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.store.artifacts import ArtifactStore
from coordinator.store.rows import UserRow

log = logging.getLogger(__name__)

UPLOADS_MAX = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{8,32}")
_TASK = re.compile(r"(?:[0-9]{1,18}|@last)\.[0-9]{1,7}|@last")
_SCHEME = f"{Scheme.CORRAL}://"


class Upload(Struct, frozen=True):
    """What somebody was told to send to a node. Forgotten by a new leader: then it is asked for again."""

    user: UserName
    node: NodeName
    name: str
    sha256: str
    size: int


class ArtifactDesk:
    """`keep` for the agents' door, `handlers` for the clients', `kinds` for their streams."""

    def __init__(
        self, loop: Loop, store: ArtifactStore, finder: Finder, notices: Notices, collector: Collector
    ) -> None:
        self._loop = loop
        self._store = store
        self._finder = finder
        self._notices = notices
        self._collector = collector
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self.kinds: dict[str, Place] = {GET: self._place_get, PUT: self._place_put}
        self.handlers = {
            "artifact.list": self.page,
            "artifact.show": self.show,
            "artifact.remove": self.remove,
            "artifact.gc": self.collect,
        }

    async def keep(self, node: NodeName, kept: Kept) -> KeptReply:
        """What a node has in its store, or could not take. Raises StoreUnavailable."""
        return KeptReply(files=tuple([await self._keep(node, file) for file in kept.files]))

    async def _keep(self, node: NodeName, file: LeftFile) -> KeptFile:
        if file.code:
            text = f"{file.attempt} on {node}: {file.name!r} was not kept: {file.code}: {file.message}"
            self._notices.note(node, "artifact_refused", text, attempt=file.attempt)
            return KeptFile()
        owner: UserName | None = None
        if file.attempt is None:
            upload = self._uploads.get(file.upload)
            found = Upload(upload.user, node, file.name, file.sha256, file.size) if upload else None
            if upload is None or found != upload:
                return KeptFile("", "E_NOT_FOUND", "no such upload was asked for: begin it again")
            owner = upload.user
        kept = await self._store.keep(node, file, owner=owner)
        if kept.code:
            note = f"{file.attempt or owner} on {node}: {file.name!r} was not kept: {kept.code}"
            if kept.code != "E_UNAVAILABLE":
                self._notices.note(node, "artifact_refused", note, attempt=file.attempt)
            return KeptFile("", kept.code, _WHY.get(kept.code, ""))
        self._uploads.pop(file.upload, None)
        return kept

    async def page(self, user: UserRow, request: Struct) -> Artifacts:
        """`artifact.list`: raises ApiError (E_RANGE, E_CURSOR, and what ids raise)."""
        assert isinstance(request, ArtifactList)
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
        return Artifacts(artifacts=page, next=following)

    async def show(self, user: UserRow, request: Struct) -> Artifact:
        """`artifact.show`: raises ApiError (E_NOT_FOUND, E_AMBIGUOUS)."""
        assert isinstance(request, ArtifactQuery)
        return await self.find(user, request.artifact, field="/artifact")

    async def remove(self, user: UserRow, request: Struct) -> Artifact:
        """`artifact.remove`: of one's own, or by an operator."""
        assert isinstance(request, ArtifactQuery)
        found = await self.find(user, request.artifact, field="/artifact")
        await self._store.remove(found.id, by=user.name)
        return found

    async def collect(self, user: UserRow, request: Struct) -> ArtifactsCollected:
        """`artifact.gc`."""
        assert isinstance(request, ArtifactCollect)
        if request.dry_run:
            unnamed = await self._store.unnamed(with_orphans=True)
            count = await self._store.orphans(remove=False)
            return ArtifactsCollected(artifacts=count, blobs=len(unnamed), bytes=sum(b.size for b in unnamed))
        orphans = await self._store.orphans(remove=True)
        done = await self._collector.collect(await self._store.unnamed(with_orphans=False))
        return ArtifactsCollected(artifacts=orphans, blobs=done.blobs, bytes=done.bytes, waiting=done.waiting)

    async def find(self, user: UserRow, text: str, *, field: str) -> Artifact:
        """What `text` in `field` names: an id, its start, a SHA-256, JOB.TASK/NAME, NAME; also as corral://.

        Raises ApiError (E_NOT_FOUND, E_AMBIGUOUS).
        """
        said, text = text, text.removeprefix(_SCHEME)
        sha256 = text if _SHA256.fullmatch(text) else ""
        prefix = text.lower().replace("-", "")
        first, slash, rest = text.partition("/")
        task, name = None, text
        if slash and _TASK.fullmatch(first):
            task, name = await self._finder.task(user, first, field=field), rest
        found = await self._store.find(
            viewer=viewer(user),
            prefix=prefix if _PREFIX.fullmatch(prefix) else "",
            sha256=sha256,
            name=name,
            task=task,
        )
        if not found:
            hint = "corral artifact ls shows ids and names"
            raise ApiError(
                refusal("E_NOT_FOUND", "no such artifact", field=field, got=quote(said), hint=hint)
            )
        if len(found) > 1 and task is None and not sha256:  # equal content is the same, whatever its name
            raise ApiError(refusal("E_AMBIGUOUS", field=field, got=quote(said), hint="write more of the id"))
        return found[0]

    async def _place_get(self, user: UserRow, request: StreamOpen) -> Target:
        offset = offset_of(request)
        found = await self.find(user, str(request.params.get("artifact", "")), field="/params/artifact")
        return await self.sender(found.sha256, found.nodes, offset=offset)

    async def sender(self, sha256: str, holders: Sequence[str], *, offset: int) -> Target:
        """One of `holders` that answers, to send content from `offset` on. Raises ApiError."""
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        for name in holders:
            node = nodes.get(NodeName(name))
            if node is not None and node.health is not NodeHealth.UNREACHABLE:
                return Target(node.name, params={"sha256": sha256, "offset": offset})
        hint = f"it lies on {', '.join(holders)}" if holders else "no node has its content"
        raise ApiError(refusal("E_UNAVAILABLE", "no node that has it answers", hint=hint, retry_after_s=5.0))

    async def _place_put(self, user: UserRow, request: StreamOpen) -> Target:
        params = request.params
        name, size, sha256 = _upload(params)
        await self._loop.barrier()
        node = self._roomiest(str(params.get("node", "")))
        upload = secrets.token_hex(8)
        self._uploads[upload] = Upload(user.name, node, name, sha256, size)
        while len(self._uploads) > UPLOADS_MAX:
            self._uploads.popitem(last=False)
        return Target(node, params={"name": name, "size": size, "sha256": sha256, "upload": upload})

    def _roomiest(self, wanted: str) -> NodeName:
        """Of those that answer: one for storage before others, then where the disk had most room."""
        healthy = [n for n in self._loop.cluster.nodes.values() if n.health is NodeHealth.HEALTHY]
        fit = [n for n in healthy if wanted in ("", n.name)]
        if not fit:
            got = quote(wanted) if wanted else ""
            raise ApiError(refusal("E_UNAVAILABLE", "no node takes it", field="/params/node", got=got))
        best = max(fit, key=lambda n: (n.kind is NodeKind.STORAGE, n.free.storage_mib, n.name))
        return best.name


_WHY = {
    "E_FENCED": "the attempt does not count any more",
    "E_NAME_CLASH": "a name that some file system could not tell from it is there already",
    "E_UNAVAILABLE": "the same content is being let go just now",
}


def offset_of(request: StreamOpen) -> int:
    """From which byte on content is wanted. Raises ApiError."""
    offset = request.params.get("offset", 0)
    if type(offset) is not int or offset < 0:
        raise ApiError(refusal("E_TYPE", field="/params/offset", got=quote(offset), expected="bytes"))
    return offset


def _upload(params: dict[str, Any]) -> tuple[str, int, str]:
    name, size, sha256 = (params.get(key) for key in ("name", "size", "sha256"))
    if not isinstance(name, str):
        raise ApiError(refusal("E_TYPE", field="/params/name", got=quote(name), expected="a name"))
    try:
        check_name(name)
    except NameFault as fault:
        raise ApiError(refusal(fault.code, str(fault), field="/params/name", got=quote(name))) from fault
    if type(size) is not int or not 0 <= size <= SIZE_MAX:
        raise ApiError(refusal("E_RANGE", field="/params/size", got=quote(size), expected=f"0 to {SIZE_MAX}"))
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
        raise ApiError(
            refusal("E_VALUE", field="/params/sha256", got=quote(sha256), expected="64 of 0-9, a-f")
        )
    return name, size, sha256
