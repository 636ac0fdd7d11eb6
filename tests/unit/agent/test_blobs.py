"""The content store: whole and verified or not there, through crashes, tricks, damage and full disks."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.blobs import PIECE, BlobStore
from agent.core.keeping import Limits
from bus.errors import ApiError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep(store: BlobStore, data: bytes, *, pin: str = "p") -> str:
    with store.receive(len(data)) as incoming:
        incoming.write(data)
        return incoming.finish(pin=pin).sha256


def read(store: BlobStore, sha256: str) -> bytes:
    with store.open(sha256) as file:
        return file.read()


def code(error: pytest.ExceptionInfo[ApiError]) -> str:
    return error.value.error.code


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    made = BlobStore(tmp_path / "blobs", limits=Limits(keep_free=0))
    yield made
    made.close()


def parts(store_folder: Path) -> list[str]:
    return os.listdir(store_folder / "incoming")


def test_bytes_come_back_and_survive_a_restart(tmp_path: Path, store: BlobStore) -> None:
    data = os.urandom(2 * PIECE + 17)
    name = keep(store, data, pin="artifact-1.0.1")
    assert name == sha(data)
    again = BlobStore(tmp_path / "blobs")
    assert read(again, name) == data
    assert (again.size(name), again.pins(name), again.used) == (len(data), {"artifact-1.0.1"}, len(data))
    assert (tmp_path / "blobs" / name[:2] / name).stat().st_mode & 0o777 == 0o400
    assert parts(tmp_path / "blobs") == []
    again.close()


def test_the_same_content_is_kept_once(tmp_path: Path, store: BlobStore) -> None:
    assert keep(store, b"x", pin="a") == keep(store, b"x", pin="b")
    assert (store.used, store.pins(sha(b"x"))) == (1, {"a", "b"})
    assert parts(tmp_path / "blobs") == []


def test_a_file_is_taken_with_its_type(tmp_path: Path, store: BlobStore) -> None:
    (tmp_path / "x.png").write_bytes(b"<html><script>alert(1)</script>")
    with open(tmp_path / "x.png", "rb") as file:
        blob = store.take(file.fileno(), pin="p")
    assert (blob.media_type, blob.size) == ("text/html", 31)


def test_a_file_that_changes_meanwhile_is_not_kept(tmp_path: Path, store: BlobStore) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * (PIECE + 1))

    class Meddled(BlobStore):
        meddle = staticmethod(lambda: None)

        def receive(self, size: int, sha256: str | None = None):  # type: ignore[no-untyped-def]
            incoming = super().receive(size, sha256)
            self.meddle()
            return incoming

    meddled = Meddled(tmp_path / "meddled", limits=Limits(keep_free=0))
    for change in (
        lambda: path.write_bytes(b"y" * (PIECE + 1)),  # other bytes, same size
        lambda: path.write_bytes(b"x" * 3 * PIECE),  # longer
        lambda: path.write_bytes(b"x"),  # shorter
    ):
        meddled.meddle = change  # type: ignore[assignment]
        with open(path, "rb") as file, pytest.raises(ApiError) as error:
            meddled.take(file.fileno(), pin="p")
        assert code(error) == "E_CHANGED"
        assert meddled.names == ()
        assert parts(tmp_path / "meddled") == []
        path.write_bytes(b"x" * (PIECE + 1))
    meddled.close()


def test_what_is_no_file_is_not_taken(tmp_path: Path, store: BlobStore) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, flags in (
        (tmp_path / "fifo", os.O_NONBLOCK),
        (tmp_path, os.O_DIRECTORY),
        (Path("/dev/zero"), 0),
    ):
        fd = os.open(path, os.O_RDONLY | flags)
        with pytest.raises(ApiError) as error:
            store.take(fd, pin="p")
        os.close(fd)
        assert code(error) == "E_FILETYPE"


def test_wrong_content_leaves_nothing(tmp_path: Path, store: BlobStore) -> None:
    for sent, size, meant in ((b"abc", 3, sha(b"abd")), (b"ab", 3, sha(b"ab")), (b"abcd", 3, None)):
        with pytest.raises(ApiError) as error, store.receive(size, meant) as incoming:
            incoming.write(sent)
            incoming.finish(pin="p")
        assert code(error) == "E_HASH"
    assert store.names == ()
    # what ended early may be gone on with; what was wrong is away
    assert parts(tmp_path / "blobs") == [f"{sha(b'ab')}.3"]


def test_an_announced_part_is_gone_on_with(tmp_path: Path, store: BlobStore) -> None:
    data = os.urandom(100_000)
    with store.receive(len(data), sha(data)) as incoming:
        incoming.write(data[:40_000])
    again = BlobStore(tmp_path / "blobs", limits=Limits(keep_free=0))
    with again.receive(len(data), sha(data)) as incoming:
        assert incoming.offset == 40_000
        incoming.write(data[40_000:])
        assert incoming.finish(pin="p").sha256 == sha(data)
    assert read(again, sha(data)) == data
    again.close()


def test_a_part_that_somebody_spoilt_is_found_out(tmp_path: Path, store: BlobStore) -> None:
    part = tmp_path / "blobs" / "incoming" / f"{sha(b'abc')}.3"
    part.write_bytes(b"ax")
    with pytest.raises(ApiError) as error, store.receive(3, sha(b"abc")) as incoming:
        incoming.write(b"c")
        incoming.finish(pin="p")
    assert code(error) == "E_HASH"
    part.write_bytes(b"longer than announced")
    with store.receive(3, sha(b"abc")) as incoming:
        assert incoming.offset == 0
        incoming.write(b"abc")
        incoming.finish(pin="p")
    assert read(store, sha(b"abc")) == b"abc"


def test_two_do_not_write_one_part(store: BlobStore) -> None:
    with store.receive(3, sha(b"abc")), pytest.raises(ApiError) as error:
        store.receive(3, sha(b"abc"))
    assert code(error) == "E_CONFLICT"
    assert error.value.error.retryable
    store.receive(3, sha(b"abc")).close()


def test_room_is_made_of_what_nobody_needs(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", limits=Limits(store=100, keep_free=0))
    pinned, cached = keep(store, b"p" * 40), keep(store, b"c" * 40)
    store.unpin(cached, "p")
    store.unpin(cached, "p")
    keep(store, b"n" * 60)
    assert (store.has(pinned), store.has(cached)) == (True, False)
    with pytest.raises(ApiError) as error:
        store.receive(1)
    assert code(error) == "E_SPACE"
    store.close()


def test_what_is_promised_counts_before_it_is_written(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", limits=Limits(keep_free=10), free=lambda: 110)
    with store.receive(60):
        with pytest.raises(ApiError):
            store.receive(41)
        store.receive(40).close()
    store.receive(100).close()
    store.close()


def test_a_full_disk_is_no_room(tmp_path: Path, store: BlobStore) -> None:
    with pytest.raises(ApiError) as error, store.receive(4) as incoming:
        os.dup2(os.open("/dev/full", os.O_RDWR), incoming._fd)
        incoming.write(b"x")
    assert code(error) == "E_SPACE"


def test_pins_hold_and_collecting_takes_the_rest(tmp_path: Path, store: BlobStore) -> None:
    first, second = keep(store, b"1", pin="a"), keep(store, b"2", pin="b")
    store.pin(first, "c")
    store.unpin(first, "a")
    assert not store.remove(first)
    assert store.collect() == ()
    store.unpin(first, "c")
    store.receive(5, sha(b"never")).close()
    assert store.collect(unused_s=3600) == ()
    assert store.collect() == (first,)
    assert (store.names, parts(tmp_path / "blobs")) == ((second,), [])
    assert store.remove(first)
    with pytest.raises(ApiError) as error:
        store.pin(first, "a")
    assert code(error) == "E_NOT_FOUND"


def test_damage_is_found_and_told(tmp_path: Path, store: BlobStore) -> None:
    fine, spoilt = keep(store, b"fine"), keep(store, b"spoilt", pin="model-m")
    path = tmp_path / "blobs" / spoilt[:2] / spoilt
    path.chmod(0o600)
    path.write_bytes(b"spoilT")
    assert store.scrub(fine)
    assert not store.scrub(spoilt)
    assert not store.has(spoilt)
    assert store.missing() == {spoilt: {"model-m"}}
    assert (tmp_path / "blobs" / "damaged" / spoilt).read_bytes() == b"spoilT"
    with pytest.raises(ApiError) as error:
        read(store, spoilt)
    assert code(error) == "E_NOT_FOUND"
    assert keep(store, b"spoilt", pin="again") == spoilt
    assert store.missing() == {}


@pytest.mark.parametrize("name", ["../../etc/shadow", "", "A" * 64, "a" * 63, "a" * 64 + "\n", "pins"])
def test_only_a_hash_names_content(store: BlobStore, name: str) -> None:
    for ask in (lambda: store.pin(name, "p"), lambda: store.unpin(name, "p"), lambda: store.receive(1, name)):
        with pytest.raises(ApiError) as error:
            ask()
        assert code(error) == "E_VALUE"
    with pytest.raises(ApiError) as error:
        read(store, name)
    assert code(error) == "E_NOT_FOUND"


def test_a_pin_has_a_plain_name(store: BlobStore) -> None:
    name = keep(store, b"x")
    for pin in ("", "../x", "a/b", "x" * 200, ".x"):
        with pytest.raises(ApiError):
            store.pin(name, pin)


def test_a_link_in_the_place_of_a_blob_is_not_followed(tmp_path: Path, store: BlobStore) -> None:
    name = keep(store, b"x")
    path = tmp_path / "blobs" / name[:2] / name
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(ApiError) as error:
        read(store, name)
    assert code(error) == "E_NOT_FOUND"


def test_threads_bring_in_the_same_content(store: BlobStore) -> None:
    data = os.urandom(300_000)
    threads = [threading.Thread(target=keep, args=(store, data), kwargs={"pin": f"p{n}"}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.pins(sha(data)) == {f"p{n}" for n in range(8)}
    assert read(store, sha(data)) == data


class Kept(RuleBasedStateMachine):
    """Against a model: through restarts, what is pinned is there, and no more is used than may be."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "blobs"
        self.pins: dict[bytes, set[str]] = {}
        self.store = self.opened()

    def opened(self) -> BlobStore:
        return BlobStore(self.folder, limits=Limits(store=60, keep_free=0))

    @rule(data=st.binary(min_size=1, max_size=30), pin=st.sampled_from("abc"))
    def bring(self, data: bytes, pin: str) -> None:
        try:
            keep(self.store, data, pin=pin)
        except ApiError as error:
            assert error.error.code == "E_SPACE"
            assert sum(len(data) for data, pins in self.pins.items() if pins) + len(data) > 60
        else:
            self.pins.setdefault(data, set()).add(pin)

    @precondition(lambda self: self.pins)
    @rule(choice=st.randoms(use_true_random=False), pin=st.sampled_from("abc"))
    def let_go(self, choice, pin: str) -> None:  # type: ignore[no-untyped-def]
        data = choice.choice(sorted(self.pins))
        self.store.unpin(sha(data), pin)
        self.pins[data].discard(pin)

    @rule()
    def start_again(self) -> None:
        self.store.close()
        self.store = self.opened()

    @rule()
    def collect(self) -> None:
        self.store.collect()
        assert set(self.store.names) == {sha(data) for data, pins in self.pins.items() if pins}

    @invariant()
    def what_is_pinned_is_there(self) -> None:
        assert self.store.used <= 60
        for data, pins in self.pins.items():
            if pins:
                assert self.store.pins(sha(data)) == pins
                assert read(self.store, sha(data)) == data

    def teardown(self) -> None:
        self.store.close()


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_what_is_no_blob_of_ours_is_left_alone(tmp_path: Path, store: BlobStore) -> None:
    name = keep(store, b"sound")
    folder = tmp_path / "blobs"
    other = "ab" * 32
    (folder / "zz").write_bytes(b"a file")
    (folder / ("aa" if name[:2] != "aa" else "bb")).symlink_to("nowhere")
    (folder / "pins" / "lost+found").mkdir()
    (folder / "pins" / "core.cluster").write_bytes(b"")
    (folder / "pins" / f"{other}.cluster").write_bytes(b"")
    (folder / name[:2] / other).write_bytes(b"in the wrong folder")
    (folder / name[:2] / f"{name[:2]}{'0' * 62}").mkdir()
    (folder / name[:2] / f"{name[:2]}{'1' * 62}").symlink_to("nowhere")
    again = BlobStore(folder, limits=Limits(keep_free=0))
    assert again.names == (name,) and read(again, name) == b"sound"
    assert again.missing() == {other: {"cluster"}}
    again.close()


def test_what_cannot_be_read_just_now_is_not_condemned(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = keep(store, b"sound")

    opened = os.open

    def failing(number: int) -> None:
        def open_(path: str, *rest: Any, **named: Any) -> int:
            if str(path).endswith(name):
                raise OSError(number, os.strerror(number))
            return opened(path, *rest, **named)

        monkeypatch.setattr(os, "open", open_)

    failing(errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        store.scrub(name)
    assert store.has(name)
    failing(errno.EIO)
    assert not store.scrub(name)
    assert store.missing() == {name: {"p"}}
