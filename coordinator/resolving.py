"""What the words of a submission mean now: tools by the registry, models and files by what is kept.

A submission is looked up once, by whoever takes it in, and kept with what was found (`JobSpec.called`,
`JobSpec.contents`): what becomes of a tool, a model or an artifact later changes nothing of it.
"""

from __future__ import annotations

from msgspec.structs import replace

from bus.contents import Content, Scheme, parse_pointer
from bus.errors import ApiError
from bus.refusal import refusal
from bus.spec import JobSpec
from coordinator.artifacts import ArtifactDesk
from coordinator.core.contents import CONTENTS_MAX, words
from coordinator.item_lists import ItemLists
from coordinator.models import ModelDesk
from coordinator.registry import Registry, Resolved
from coordinator.store.rows import UserRow


class Resolver:
    """`resolve` for all doors by which jobs come in."""

    def __init__(
        self, registry: Registry, artifacts: ArtifactDesk, models: ModelDesk, lists: ItemLists
    ) -> None:
        self._lists = lists
        self._registry = registry
        self._artifacts = artifacts
        self._models = models

    async def resolve(self, user: UserRow, spec: JobSpec) -> Resolved:
        """`spec` with all that its words mean to `user`.

        Raises ApiError: what `Registry.resolve` and `ItemLists.of` raise; E_NOT_FOUND, E_AMBIGUOUS of models
        and artifacts.
        """
        lists = await self._lists.of(user, spec)
        if spec.lists and spec.lists != lists.kept:
            message = "`lists` says other than what is kept: it is the coordinator's to fill in"
            raise ApiError(refusal("E_FIELD", message, field="/lists", hint="leave it out"))
        if lists.kept:
            spec = replace(spec, lists=lists.kept)
        by_word = {word: lists.content[kept.sha256] for word, kept in lists.kept.items()}
        spec = await self._registry.resolve(spec, user=user.name, lists=by_word)
        return Resolved(await self._with_contents(user, spec), lists.content)

    async def _with_contents(self, user: UserRow, spec: JobSpec) -> JobSpec:
        said = words(spec)
        if not said and not spec.contents:
            return spec
        contents: list[Content] = []
        for path, word, is_model in said[: CONTENTS_MAX + 1]:
            if is_model:
                contents.append(await self._model(word, path))
            elif (content := await self._file(user, word, path)) is not None:
                contents.append(content)
        if spec.contents and spec.contents != contents:
            message = "`contents` says other than what is kept: it is the coordinator's to fill in"
            raise ApiError(refusal("E_FIELD", message, field="/contents", hint="leave it out"))
        if len(said) > CONTENTS_MAX:
            got = str(len(said))
            raise ApiError(
                refusal("E_TOO_MANY", field="/files", got=got, expected=f"at most {CONTENTS_MAX} in a job")
            )
        return replace(spec, contents=contents)

    async def _model(self, word: str, path: str) -> Content:
        model = (await self._models.find(word, field=path)).model
        return Content(
            said=word,
            sha256=model.sha256,
            size=model.size,
            file=model.file,
            model=model.name,
            version=model.version,
            nodes=tuple(model.nodes),
        )

    async def _file(self, user: UserRow, word: str, path: str) -> Content | None:
        """None: the word cannot be one, which the core says with all else that is wrong."""
        try:
            pointer = parse_pointer(word)
        except ValueError:
            return None
        if pointer.scheme is not Scheme.CORRAL:
            return Content(said=word, url=word)
        found = await self._artifacts.find(user, pointer.path, field=path)
        return Content(said=word, sha256=found.sha256, size=found.size, nodes=tuple(found.nodes))
