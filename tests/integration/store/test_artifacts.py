"""Artifacts in a real database:

one a name, of the attempt that counts, seen by whose it is, let go at last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bus.artifacts import LeftFile
from bus.values import AttemptRef, NodeName, Role, TaskRef, UserName
from coordinator.core.effects import NewTask
from coordinator.doctor import of_integrity
from coordinator.store.artifacts import ArtifactStore, Integrity
from tests.integration.store.conftest import Leader
from tests.integration.store.test_results import running
from tests.store_rows import ALICE, node

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ArtifactStore]:
    made = ArtifactStore(coordinator_dsn)
    yield made
    await made.close()


def left(task: NewTask | None, name: str, sha256: str = ONE, *, fence: int = 1) -> LeftFile:
    attempt = None if task is None else AttemptRef(task.task.job, task.task.index, fence)
    return LeftFile(name=name, attempt=attempt, sha256=sha256, size=7, media_type="text/html")


async def keep(store: ArtifactStore, on: str, file: LeftFile, owner: str | None = None) -> tuple[str, str]:
    kept = await store.keep(NodeName(on), file, owner=None if owner is None else UserName(owner))
    return kept.id, kept.code


async def shown(store: ArtifactStore, **asked: Any) -> list[tuple[str, str]]:
    page = {"viewer": None, "job": None, "index": None, "limit": 100, "before": None} | asked
    return [(one.name, one.sha256) for one in await store.page(**page)]


@pytest.mark.contract("S3.2", "S3.16", "S3.17", "S3.27")
async def test_what_a_task_left_is_an_artifact(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-1")
    task = await running(leader, on)
    first, code = await keep(store, on.name, left(task, "plots/loss.png"))
    assert code == ""
    assert await keep(store, on.name, left(task, "plots/loss.png")) == (first, "")  # its answer was lost
    (found,) = await store.page(viewer=ALICE, job=task.task.job, index=None, limit=9, before=None)
    assert (found.name, found.task, found.attempt, found.user) == ("plots/loss.png", str(task.task), 1, ALICE)
    assert (found.pointer, found.media_type, found.nodes) == (f"corral://{ONE}", "text/html", ["art-1"])
    row = await database.fetchrow(
        "select * from corral.artifacts_with_tools where artifact_id = $1::uuid", first
    )
    assert row is not None and row["file_name"] == "loss.png" and row["mime_type"] == "text/html"
    # the same name again has the newer content
    assert await keep(store, on.name, left(task, "plots/loss.png", TWO)) == (first, "")
    assert await shown(store, job=task.task.job) == [("plots/loss.png", TWO)]


async def test_an_artifact_is_of_the_version_that_was_called(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-plot")
    task, plain = await running(leader, on), await running(leader, on)
    insert = (
        "insert into corral.tools (name, version, current, category) values ('plotter', $1, $2, 'storage')"
    )
    await database.execute(insert, "1.0.0", False)
    await database.execute(insert, "1.1.0", True)
    called = """update corral.tasks set parameters = '{"called": "plotter@1.0.0"}' where id = $1"""
    await database.execute(called, task.id)
    for each in (task, plain):
        assert (await keep(store, on.name, left(each, "plot.svg")))[1] == ""
    rows = await database.fetch(
        "select v.version, count(a.id), coalesce(sum(a.size_bytes), 0) from corral.tools v "
        "left join corral.artifacts a on a.created_by_tool_id = v.id "
        "where v.name = 'plotter' group by 1 order by 1"
    )
    assert [tuple(row) for row in rows] == [("1.0.0", 1, 7), ("1.1.0", 0, 0)]


async def test_names_that_clash_are_refused(leader: Leader, store: ArtifactStore) -> None:
    on = node("art-2")
    task = await running(leader, on)
    assert (await keep(store, on.name, left(task, "Modèle.bin")))[1] == ""
    for name in ("modèle.bin", "MODE\u0300LE.BIN"):
        assert await keep(store, on.name, left(task, name)) == ("", "E_NAME_CLASH")
    assert (await keep(store, on.name, left(None, "modèle.bin"), "alice"))[1] == ""
    assert (await keep(store, on.name, left(None, "modèle.bin"), "alice"))[1] == ""
    assert await keep(store, on.name, left(None, "modèle.bin", TWO), "alice") == ("", "E_NAME_CLASH")


async def test_stale_attempts_and_other_nodes_leave_nothing(leader: Leader, store: ArtifactStore) -> None:
    on, other = node("art-3"), node("art-4")
    task = await running(leader, on)
    await running(leader, other)
    assert await keep(store, on.name, left(task, "f", fence=2)) == ("", "E_FENCED")
    assert await keep(store, other.name, left(task, "f")) == ("", "E_FENCED")
    assert await keep(store, on.name, left(None, "f"), "nobody") == ("", "E_FENCED")
    assert await shown(store, job=task.task.job) == []


async def test_others_see_nothing(leader: Leader, store: ArtifactStore) -> None:
    await leader.store.ensure_user(UserName("bob"), Role.USER)
    on = node("art-5")
    task = await running(leader, on)
    mine, _ = await keep(store, on.name, left(task, "f"))
    assert await shown(store, viewer="bob", job=task.task.job) == []
    prefix = mine.replace("-", "")
    find = {"name": "", "task": None}
    assert await store.find(viewer="bob", prefix=prefix, **find) == []  # type: ignore[arg-type]
    assert [one.id for one in await store.find(viewer=ALICE, prefix=prefix, **find)] == [mine]  # type: ignore[arg-type]
    by_name = await store.find(viewer=ALICE, prefix="", name="f", task=task.task)
    assert [one.id for one in by_name] == [mine]
    assert await store.find(viewer=ALICE, prefix="", name="f", task=TaskRef(task.task.job, 9)) == []


@pytest.mark.contract("S3.40")
async def test_content_goes_only_when_nothing_names_it(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-6")
    task = await running(leader, on)
    sha256 = "6" * 64
    first, _ = await keep(store, on.name, left(task, "a", sha256))
    second, _ = await keep(store, on.name, left(None, "a6", sha256), "alice")

    async def unnamed() -> set[str]:
        return {blob.sha256 for blob in await store.unnamed(with_orphans=False)}

    assert await store.remove(first, by=ALICE)
    assert not await store.remove(first, by=ALICE)
    assert sha256 not in await unnamed()
    assert await store.mark(on.name, [sha256]) == []
    assert await store.remove(second, by=ALICE)
    assert sha256 in await unnamed()
    assert await store.mark(on.name, [sha256]) == [sha256]
    # while the node is being told, nothing new counts on it
    assert await keep(store, on.name, left(task, "b", sha256)) == ("", "E_UNAVAILABLE")
    await store.dropped(on.name, [sha256])
    assert sha256 not in await unnamed()
    assert (await keep(store, on.name, left(task, "b", sha256)))[1] == ""
    # its task goes: an orphan
    assert await store.orphans(remove=False) == 0
    await database.execute("update corral.artifacts set task_id = null where sha256 = $1", sha256)
    assert await store.orphans(remove=False) == 1
    assert sha256 in {blob.sha256 for blob in await store.unnamed(with_orphans=True)}
    assert await store.orphans(remove=True) == 1
    assert sha256 in await unnamed()


async def test_a_list_whose_submission_died_goes_unless_a_schedule_points_to_it(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-8")
    await running(leader, on)
    names = {
        "for_each-0123456789aa-8a8a8a8a8a8a.txt": "8a" * 32,
        "for_each-0123456789ab-8b8b8b8b8b8b.txt": "8b" * 32,
        "for_each-0123456789ac-8a8a8a8a8a8a.txt": "8c" * 32,  # somebody's own file of such a name
    }
    for name, sha256 in names.items():
        await keep(store, on.name, left(None, name, sha256), "alice")
    lost, scheduled, own = names.values()
    assert await store.orphans(remove=False) == 0, "somebody may just be submitting"
    await database.execute("update corral.artifacts set created_at = now() - interval '25 hours'")
    await database.execute(
        "insert into corral.schedules (user_id, name, cron, spec, digest, next_at)"
        " select id, 'nightly', '0 0 * * *', jsonb_build_object('for_each', 'corral://' || $1::text), '',"
        " now() from corral.users where username = 'alice'",
        scheduled,
    )
    assert await store.orphans(remove=False) == 1
    assert lost in {blob.sha256 for blob in await store.unnamed(with_orphans=True)}
    assert await store.orphans(remove=True) == 1
    found = {blob.sha256 for blob in await store.unnamed(with_orphans=False)}
    assert lost in found and found.isdisjoint({scheduled, own})


@pytest.mark.contract("S3.39")
async def test_what_has_lost_what_it_belongs_to_is_counted_and_named(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-9")
    task = await running(leader, on)
    before = await store.integrity()
    first, _ = await keep(store, on.name, left(task, "lost.csv", "9a" * 32))
    brought, _ = await keep(store, on.name, left(None, "mine.csv", "9b" * 32), "alice")
    assert await store.integrity() == before
    await database.execute("update corral.artifacts set task_id = null where id = $1::uuid", first)
    await store.remove(brought, by=ALICE)
    await database.execute("insert into corral.tools (name, category) values ('lost-tool', 'analysis')")
    seen = await store.integrity()
    assert (seen.orphans, seen.named[0]) == (before.orphans + 1, "lost.csv")
    assert (seen.blobs, seen.bytes) == (before.blobs + 1, before.bytes + 7)
    assert seen.tools_of_any_node == before.tools_of_any_node + 1
    (finding,) = of_integrity(seen)
    assert "lost.csv" in finding.message and "gc" in finding.hint
    (finding,) = of_integrity(Integrity(0, [], 0, 0, 1, 3))
    assert finding.message.endswith("1 of 3 tools bound to no node")


@pytest.mark.contract("S0.48")
async def test_an_artifact_should_have_as_many_copies_as_its_job_says(
    leader: Leader, store: ArtifactStore, database: asyncpg.Connection
) -> None:
    on = node("art-copied")
    task, other = await running(leader, on), await running(leader, on)
    await database.execute(
        "update corral.jobs set spec = spec || '{\"replicas\": 2}' where number = $1", task.task.job
    )
    content = "select sha256, copies from corral.task_content where task_id = $1"
    await keep(store, on.name, left(task, "model.bin", "a" * 64))
    await keep(store, on.name, left(other, "model.bin", "b" * 64))
    await keep(store, on.name, left(None, "brought.bin", "c" * 64), owner=ALICE)
    assert [tuple(row) for row in await database.fetch(content, task.id)] == [("a" * 64, 2)]
    assert await database.fetch(content, other.id) == []
    await keep(store, on.name, left(task, "model.bin", "d" * 64))  # the same name again
    assert [tuple(row) for row in await database.fetch(content, task.id)] == [("d" * 64, 2)]
