"""Models: versions of content, registered once, listed, fetched and removed. `model.*`.

Everybody sees what is registered: that is what registering is for. Who registered a version, and operators,
may remove it, unless a job that is not over names it.
"""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from bus.artifacts import GET
from bus.errors import ApiError
from bus.models import (
    NAME,
    TAG,
    VERSION,
    Model,
    ModelList,
    ModelQuery,
    ModelRegister,
    Models,
    parse_reference,
)
from bus.refusal import quote, refusal
from bus.sessions import StreamOpen
from coordinator.api.access import viewer
from coordinator.api.jobs import check_range
from coordinator.api.listing import LIMIT_MAX, cut, row_of
from coordinator.api.streams import Place, Target
from coordinator.artifacts import ArtifactDesk, offset_of
from coordinator.store.models import ModelRow, ModelStore
from coordinator.store.rows import UserRow

TAGS_MAX = 32
METRICS_MAX = 100
METRIC_NAME_MAX = 50
CONFIG_BYTES_MAX = 64 * 1024


class ModelDesk:
    """`handlers` for the clients' door, `kinds` for their streams: content of artifacts and models."""

    def __init__(self, store: ModelStore, artifacts: ArtifactDesk) -> None:
        self._store = store
        self._artifacts = artifacts
        self.kinds: dict[str, Place] = artifacts.kinds | {GET: self._place_get}
        self.handlers = {
            "model.register": self.register,
            "model.list": self.page,
            "model.show": self.show,
            "model.remove": self.remove,
        }

    async def register(self, user: UserRow, request: Struct) -> Model:
        """`model.register`: raises ApiError (E_NAME_CLASH where the version has other content)."""
        assert isinstance(request, ModelRegister)
        _check(request)
        artifact = await self._artifacts.find(user, request.artifact, field="/artifact")
        row = await self._store.register(request, artifact.id, by=user.name)
        if row is None:
            got = quote(request.artifact)
            raise ApiError(refusal("E_NOT_FOUND", "no such artifact", field="/artifact", got=got))
        reference = f"{request.name}@{request.version}"
        if row.removed:
            message = f"{reference} was removed, and its name is never used again"
        elif row.model.sha256 != artifact.sha256:
            message = f"{reference} is registered with other content, and versions are never changed"
        else:
            return row.model
        got, hint = quote(request.version), "choose another version"
        raise ApiError(refusal("E_NAME_CLASH", message, field="/version", got=got, hint=hint))

    async def page(self, user: UserRow, request: Struct) -> Models:
        """`model.list`: raises ApiError (E_RANGE, E_CURSOR)."""
        assert isinstance(request, ModelList)
        check_range(request.limit, 1, LIMIT_MAX, field="/limit")
        before = row_of(request.cursor)
        found = await self._store.page(
            name=request.name, tag=request.tag, limit=request.limit + 1, before=before
        )
        page, following = cut(found, request.limit, lambda row: row.id)
        return Models(models=[row.model for row in page], next=following)

    async def show(self, user: UserRow, request: Struct) -> Model:
        """`model.show`: raises ApiError (E_NOT_FOUND)."""
        assert isinstance(request, ModelQuery)
        return (await self.find(request.model, field="/model")).model

    async def remove(self, user: UserRow, request: Struct) -> Model:
        """`model.remove`: of one's own, or by an operator. Raises ApiError (E_CONFLICT while it is used)."""
        assert isinstance(request, ModelQuery)
        if "@" not in request.model:
            hint = "say which version: versions are removed one by one"
            got = quote(request.model)
            raise ApiError(refusal("E_VALUE", field="/model", got=got, expected="NAME@VERSION", hint=hint))
        model = (await self.find(request.model, field="/model")).model
        if viewer(user) not in (None, model.user):
            message = f"{request.model} was registered by {model.user or 'somebody else'}"
            raise ApiError(refusal("E_FORBIDDEN", message, field="/model"))
        if jobs := await self._store.users_of(model.name, model.version):
            message = f"{request.model} is used by job {', '.join(map(str, jobs))}"
            raise ApiError(refusal("E_CONFLICT", message, field="/model", hint="wait for it, or cancel it"))
        await self._store.remove(model.name, model.version, by=user.name)
        return model

    async def find(self, text: str, *, field: str) -> ModelRow:
        """What `text` in `field` names. Raises ApiError (E_VALUE, E_NOT_FOUND)."""
        try:
            name, version = parse_reference(text)
        except ValueError as fault:
            raise ApiError(refusal("E_VALUE", field=field, got=quote(text), expected=str(fault))) from fault
        row = await self._store.find(name, version)
        if row is None:
            hint = f"corral model ls {name} shows its versions" if version else "corral model ls shows all"
            raise ApiError(refusal("E_NOT_FOUND", "no such model", field=field, got=quote(text), hint=hint))
        return row

    async def _place_get(self, user: UserRow, request: StreamOpen) -> Target:
        if "model" not in request.params:
            return await self._artifacts.kinds[GET](user, request)
        offset = offset_of(request)
        model = (await self.find(str(request.params["model"]), field="/params/model")).model
        return await self._artifacts.sender(model.sha256, model.nodes, offset=offset)


def _check(asked: ModelRegister) -> None:
    """Raises ApiError for the first thing that is wrong."""
    if NAME.fullmatch(asked.name) is None:
        expected = "1–100 of a–z, 0–9, ., _ and -, beginning with a letter or digit"
        raise ApiError(refusal("E_NAME", field="/name", got=quote(asked.name), expected=expected))
    if VERSION.fullmatch(asked.version) is None:
        expected = "1–50 letters, digits, ., _, + and -, beginning with a letter or digit"
        raise ApiError(refusal("E_VALUE", field="/version", got=quote(asked.version), expected=expected))
    if len(asked.tags) > TAGS_MAX:
        got = str(len(asked.tags))
        raise ApiError(refusal("E_TOO_MANY", field="/tags", got=got, expected=f"at most {TAGS_MAX}"))
    for place, tag in enumerate(asked.tags):
        if TAG.fullmatch(tag) is None:
            expected = "1–50 of a–z, 0–9, _ and -"
            raise ApiError(refusal("E_VALUE", field=f"/tags/{place}", got=quote(tag), expected=expected))
    if len(asked.metrics) > METRICS_MAX:
        got = str(len(asked.metrics))
        raise ApiError(refusal("E_TOO_MANY", field="/metrics", got=got, expected=f"at most {METRICS_MAX}"))
    for name, value in asked.metrics.items():
        if not 0 < len(name) <= METRIC_NAME_MAX or not name.isprintable() or not math.isfinite(value):
            expected = f"names of 1–{METRIC_NAME_MAX} visible characters, finite numbers"
            raise ApiError(refusal("E_VALUE", field="/metrics", got=quote(name), expected=expected))
    if (size := len(msgspec.json.encode(asked.config))) > CONFIG_BYTES_MAX:
        expected = f"at most {CONFIG_BYTES_MAX} bytes"
        raise ApiError(refusal("E_TOO_LARGE", field="/config", got=f"{size} bytes", expected=expected))
