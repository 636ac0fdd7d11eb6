"""What a task needs as files is shown to it, whole and unchangeable, and only what the operator allows."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.blobs import Blob, BlobStore
from agent.bringing import FOLDER, Allowed, Bringing
from agent.core.model import Order, Work
from agent.inputs import Nowhere
from bus.contents import Content
from bus.errors import ApiError, one_line
from bus.refusal import refusal
from bus.values import AttemptRef, Resources, TaskSettings

WEIGHTS, TABLE = b"weights", b"a,b\n"
A = AttemptRef(1042, 7, 1)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


MODEL = Content(said="resnet", sha256=sha(WEIGHTS), size=7, file="w.bin", model="res-net", version="1")
ARTIFACT = Content(said="corral://1.0/t", sha256=sha(TABLE), size=4)


class Cluster:
    """Other nodes that have some content, and a bucket."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.has = {sha(data): data for data in (WEIGHTS, TABLE)}
        self.asked: list[tuple[list[str], str, AttemptRef]] = []
        self.refuses = ""

    def _keep(self, data: bytes, pin: str) -> Blob:
        with self.store.receive(len(data)) as incoming:
            incoming.write(data)
            return incoming.finish(pin=pin)

    async def fetch(self, contents: Sequence[Content], pin: str, attempt: AttemptRef) -> None:
        self.asked.append(([each.said for each in contents], pin, attempt))
        if self.refuses:
            raise ApiError(refusal(self.refuses))
        for each in contents:
            self._keep(self.has[each.sha256], pin)

    async def take(self, bucket: str, key: str, store: BlobStore, *, pin: str) -> Blob:
        return self._keep(f"{bucket}/{key}".encode(), pin)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    made = BlobStore(tmp_path / "blobs")
    yield made
    made.close()


@pytest.fixture
def cluster(store: BlobStore) -> Cluster:
    return Cluster(store)


@pytest.fixture
def bringing(tmp_path: Path, store: BlobStore, cluster: Cluster) -> Bringing:
    (tmp_path / "tasks").mkdir(mode=0o700)
    data = tmp_path / "srv" / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "x").write_bytes(b"local")
    (tmp_path / "srv" / "database").write_bytes(b"secret")
    allowed = Allowed([data])
    return Bringing(tmp_path / "tasks", store, cluster.fetch, files=allowed, buckets=cluster)


def order(attempt: AttemptRef = A, **contents: Content) -> Order:
    by_place = {place.replace("__", "/"): content for place, content in contents.items()}
    settings = TaskSettings(resources=Resources(), contents=by_place)
    return Order(attempt=attempt, work=Work(settings=settings, command=("true",)))


def local(path: object) -> Content:
    return Content(said=f"file://{path}", url=f"file://{path}")


async def refused(bringing: Bringing, content: Content) -> str:
    with pytest.raises(ApiError) as found:
        await bringing.bring(order(files__x=content))
    assert not isinstance(found.value, Nowhere), "another node may have it"
    return found.value.error.code


async def test_models_and_files_are_where_the_variables_say(
    bringing: Bringing, tmp_path: Path, store: BlobStore, cluster: Cluster
) -> None:
    wanted = order(
        models__resnet__w=MODEL,
        files__in__t=ARTIFACT,
        files__l=local(tmp_path / "srv/data/deep/x"),
        files__s=Content(said="s3://bucket/a/b", url="s3://bucket/a/b"),
    )
    env = await bringing.bring(wanted)
    assert sorted(env) == ["CORRAL_FILES", "CORRAL_MODEL_RES_NET"]
    assert Path(env["CORRAL_MODEL_RES_NET"]).read_bytes() == WEIGHTS
    files = Path(env["CORRAL_FILES"])
    found = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
    assert found == {"in/t": TABLE, "l": b"local", "s": b"bucket/a/b"}
    assert cluster.asked == [(["resnet", "corral://1.0/t"], "brought-1042.7.1", A)]
    assert all("brought-1042.7.1" in store.pins(name) for name in store.names)
    assert await bringing.bring(wanted) == env  # twice is fine
    bringing.over(A)
    assert not (tmp_path / "tasks" / FOLDER / "1042.7.1").exists()
    assert [store.pins(name) for name in store.names] == [frozenset()] * 4
    bringing.over(A)


async def test_it_is_the_store_s_own_file_that_nobody_may_write_to(
    bringing: Bringing, store: BlobStore
) -> None:
    env = await bringing.bring(order(models__resnet__w=MODEL))
    status = os.stat(env["CORRAL_MODEL_RES_NET"])
    assert stat.S_IMODE(status.st_mode) == 0o444 and status.st_nlink == 2
    bringing.over(A)
    with store.open(sha(WEIGHTS)) as file:
        assert file.read() == WEIGHTS


async def test_across_disks_it_is_copied(
    bringing: Bringing, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_disk(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    env = await bringing.bring(order(models__resnet__w=MODEL))
    status = os.stat(env["CORRAL_MODEL_RES_NET"])
    assert stat.S_IMODE(status.st_mode) == 0o444 and status.st_nlink == 1
    assert Path(env["CORRAL_MODEL_RES_NET"]).read_bytes() == WEIGHTS


async def test_nothing_is_asked_where_nothing_is_needed(bringing: Bringing, cluster: Cluster) -> None:
    assert await bringing.bring(order()) == {}
    assert cluster.asked == []


async def test_only_files_that_the_operator_allows(bringing: Bringing, tmp_path: Path) -> None:
    data = tmp_path / "srv" / "data"
    for path in ("/etc/passwd", tmp_path / "srv" / "database", data, f"{data}base/x"):
        assert await refused(bringing, local(path)) == "E_FORBIDDEN"
    assert await refused(bringing, local(data / "none")) == "E_NOT_FOUND"
    assert await refused(bringing, local(data / "deep")) == "E_FILETYPE"


async def test_what_no_node_has_is_nowhere_and_what_this_one_lacks_is_not(
    bringing: Bringing, cluster: Cluster
) -> None:
    cluster.refuses = "E_NOT_FOUND"
    with pytest.raises(Nowhere) as found:
        await bringing.bring(order(files__x=ARTIFACT, files__y=MODEL))
    assert one_line(found.value.error) == "no node has this content: got 'corral://1.0/t, resnet'"
    for code in ("E_SPACE", "E_UNAVAILABLE", "E_FENCED"):
        cluster.refuses = code
        assert await refused(bringing, ARTIFACT) == code


async def test_no_link_leads_out_of_an_allowed_folder(bringing: Bringing, tmp_path: Path) -> None:
    data = tmp_path / "srv" / "data"
    (data / "link").symlink_to("/etc/passwd")
    (data / "out").symlink_to(tmp_path / "srv")
    os.mkfifo(data / "pipe")
    for name in ("link", "out/database", "pipe"):
        assert await refused(bringing, local(data / name)) == "E_FILETYPE", name


async def test_a_node_without_buckets(tmp_path: Path, store: BlobStore, cluster: Cluster) -> None:
    bringing = Bringing(tmp_path, store, cluster.fetch)
    assert await refused(bringing, Content(said="s", url="s3://bucket/x")) == "E_FORBIDDEN"
    assert await refused(bringing, local("/etc/passwd")) == "E_FORBIDDEN"


async def test_what_a_task_put_in_the_place_of_our_folder_goes(bringing: Bringing, tmp_path: Path) -> None:
    tasks, elsewhere = tmp_path / "tasks", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tasks / FOLDER).symlink_to(elsewhere)
    env = await bringing.bring(order(models__resnet__w=MODEL))
    assert list(elsewhere.iterdir()) == [] and Path(env["CORRAL_MODEL_RES_NET"]).read_bytes() == WEIGHTS
    if os.geteuid() == 0:
        bringing.over(A)
        (tasks / FOLDER).rmdir()
        (tasks / FOLDER).mkdir()
        os.chown(tasks / FOLDER, 1234, 1234)
        await bringing.bring(order(models__resnet__w=MODEL))
        assert (tasks / FOLDER).stat().st_uid == 0


async def test_a_restart_keeps_what_still_runs(bringing: Bringing, tmp_path: Path, store: BlobStore) -> None:
    other = AttemptRef(1042, 8, 1)
    env = await bringing.bring(order(models__resnet__w=MODEL))
    await bringing.bring(order(other, files__t=ARTIFACT))
    again = Bringing(tmp_path / "tasks", store, Cluster(store).fetch)
    again.resume({A})
    assert Path(env["CORRAL_MODEL_RES_NET"]).exists()
    assert not (tmp_path / "tasks" / FOLDER / "1042.8.1").exists()
    assert store.pins(sha(TABLE)) == frozenset() and store.pins(sha(WEIGHTS)) == {"brought-1042.7.1"}
    again.over(A)
    assert store.pins(sha(WEIGHTS)) == frozenset()
