"""Models in a real database: versions never change, and their content stays while anything names it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.artifacts import LeftFile
from bus.models import ModelRegister
from bus.values import NodeName, UserName
from coordinator.store.artifacts import ArtifactStore
from coordinator.store.models import ModelStore
from tests.integration.store.conftest import Leader
from tests.integration.store.test_results import running
from tests.store_rows import ALICE, node


@pytest.fixture
async def artifacts(coordinator_dsn: str) -> AsyncIterator[ArtifactStore]:
    made = ArtifactStore(coordinator_dsn)
    yield made
    await made.close()


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ModelStore]:
    made = ModelStore(coordinator_dsn)
    yield made
    await made.close()


async def artifact(artifacts: ArtifactStore, on: str, sha256: str) -> str:
    file = LeftFile(name=f"m-{sha256[:4]}/w.bin", sha256=sha256, size=7, media_type="text/plain")
    kept = await artifacts.keep(NodeName(on), file, owner=ALICE)
    assert kept.code == ""
    return kept.id


def asked(name: str, version: str = "1.0") -> ModelRegister:
    return ModelRegister(
        name=name, version=version, artifact="", tags=["b", "a", "b"], metrics={"loss": 0.5}, config={"n": 1}
    )


@pytest.mark.contract("S1.38", "S1.39")
async def test_a_version_is_registered_once(
    leader: Leader, artifacts: ArtifactStore, store: ModelStore, database: asyncpg.Connection
) -> None:
    on = node("mod-1")
    await running(leader, on)
    first = await artifact(artifacts, on.name, "a1" * 32)
    other = await artifact(artifacts, on.name, "a2" * 32)
    row = await store.register(asked("reg"), first, by=ALICE)
    assert row is not None and not row.removed
    model = row.model
    assert (model.sha256, model.url, model.file) == ("a1" * 32, "corral://" + "a1" * 32, "w.bin")
    assert (model.tags, model.metrics, model.config) == (["a", "b"], {"loss": 0.5}, {"n": 1})
    assert (model.user, model.nodes) == (ALICE, ["mod-1"])
    again = await store.register(asked("reg"), other, by=UserName("olga"))
    assert again is not None and again.model == model
    assert await store.register(asked("reg", "2"), "00000000-0000-0000-0000-000000000001", by=ALICE) is None
    insert = "insert into corral.model_versions (name, version, url) values ('reg', '1.0', 'corral://x')"
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.execute(insert)
    with pytest.raises(asyncpg.NotNullViolationError):
        await database.execute("insert into corral.model_versions (name, version) values ('reg', '3')")
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(insert.replace("'1.0', 'corral", "'4', 'http"))
    for change in ("sha256 = repeat('b', 64)", "version = '9'", "size_bytes = 1"):
        with pytest.raises(asyncpg.RestrictViolationError, match=r"reg@1\.0 is never changed"):
            await database.execute(f"update corral.model_versions set {change} where name = 'reg'")
    audit = "select count(*) from corral.audit where action = 'model.register' and object = 'reg@1.0'"
    assert await database.fetchval(audit) == 1
    indexes = await database.fetch("select indexdef from pg_indexes where tablename = 'model_versions'")
    assert any("UNIQUE" in row[0] and "(name, version)" in row[0] for row in indexes)


async def test_the_newest_version_is_meant_by_a_name(
    leader: Leader, artifacts: ArtifactStore, store: ModelStore
) -> None:
    on = node("mod-2")
    await running(leader, on)
    content = await artifact(artifacts, on.name, "b1" * 32)
    for version in ("2.0", "1.5"):
        await store.register(asked("newest", version), content, by=ALICE)
    newest = await store.find("newest", "")
    assert newest is not None and newest.model.version == "1.5"
    page = await store.page(name="newest", tag="a", limit=9, before=None)
    assert [row.model.version for row in page] == ["1.5", "2.0"]
    assert await store.page(name="newest", tag="none", limit=9, before=None) == []
    assert await store.remove("newest", "1.5", by=ALICE)
    assert not await store.remove("newest", "1.5", by=ALICE)
    newest = await store.find("newest", "")
    assert newest is not None and newest.model.version == "2.0"
    gone = await store.find("newest", "1.5", removed=True)
    assert gone is not None and gone.removed
    again = await store.register(asked("newest", "1.5"), content, by=ALICE)
    assert again is not None and again.removed  # its name is never used again


@pytest.mark.contract("S3.40")
async def test_content_stays_while_a_model_or_a_live_job_names_it(
    leader: Leader, artifacts: ArtifactStore, store: ModelStore, database: asyncpg.Connection
) -> None:
    on = node("mod-3")
    task = await running(leader, on)
    sha256 = "c1" * 32
    content = await artifact(artifacts, on.name, sha256)
    await store.register(asked("kept"), content, by=ALICE)
    await artifacts.remove(content, by=ALICE)

    async def collectable() -> bool:
        unnamed = {blob.sha256 for blob in await artifacts.unnamed(with_orphans=True)}
        return sha256 in unnamed

    assert not await collectable()
    contents = f'[{{"model": "kept", "version": "1.0", "sha256": "{sha256}"}}]'
    spec = """update corral.jobs set spec = jsonb_build_object('contents', $1::jsonb) where id = $2"""
    await database.execute(spec, contents, task.job_id)
    assert await store.users_of("kept", "1.0") == [task.task.job]
    assert await store.users_of("kept", "2.0") == []
    await store.remove("kept", "1.0", by=ALICE)
    assert not await collectable()
    assert await artifacts.mark(on.name, [sha256]) == []
    await database.execute("update corral.jobs set ended_at = now() where id = $1", task.job_id)
    assert await store.users_of("kept", "1.0") == []
    assert await collectable()
