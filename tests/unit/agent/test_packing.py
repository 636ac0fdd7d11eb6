"""A folder becomes a sealed file and comes back as it was, whatever tasks have put into it."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.guard.account import Account, task_account
from agent.volumes import packing
from agent.volumes.packing import Filled, Packer, filled
from agent.volumes.sealing import make_key
from bus.errors import ApiError


@pytest.fixture
def account() -> Account:
    return task_account()


@pytest.fixture
def packer(account: Account) -> Packer:
    return Packer(account)


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that the tasks' account may pass through, as that of a pool."""
    with tempfile.TemporaryDirectory(prefix="corral-room-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def write(path: Path, text: str, account: Account) -> None:
    path.write_text(text)
    own(path, account)


def own(path: Path, account: Account) -> None:
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


@pytest.fixture
def live(room: Path, packer: Packer, account: Account) -> Path:
    folder = room / "live"
    packer.make(folder)
    write(folder / "plain", "the quick brown fox", account)
    write(folder / "läuft\n\x1b[31m", "strange name", account)
    (folder / "sub").mkdir()
    own(folder / "sub", account)
    write(folder / "sub" / "script", "#!/bin/sh", account)
    (folder / "sub" / "script").chmod(0o755)
    (folder / "away").symlink_to("/etc/shadow")
    own(folder / "away", account)
    os.link(folder / "plain", folder / "second name")
    with open(folder / "holes", "wb") as file:
        file.truncate(50_000_000)
    own(folder / "holes", account)
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        what: bytes | str = ""
        if path.is_symlink():
            what = os.readlink(path)
        elif path.is_file():
            what = path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.S_IFMT(status.st_mode) | status.st_mode & 0o777, what)
    return found


@pytest.mark.contract("S2.67")
@pytest.mark.parametrize("key", [None, bytes(range(32))])
@pytest.mark.parametrize("compress", [False, True])
def test_a_folder_comes_back_as_it_was(
    packer: Packer, live: Path, room: Path, key: bytes | None, compress: bool
) -> None:
    before = tree(live)
    packed = packer.pack(live, room / "packed", key=key, compress=compress, of="v")
    assert packed.size == (room / "packed").stat().st_size < 5_000_000  # holes take no room
    packer.unpack(room / "packed", room / "again", key=key, of="v")
    assert tree(room / "again") == before
    assert (room / "again" / "plain").stat().st_nlink == 2
    if key is not None:
        stored = (room / "packed").read_bytes()
        assert b"quick" not in stored and b"script" not in stored and b"plain" not in stored


def test_pipes_and_sockets_are_left_out(
    packer: Packer, live: Path, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(live)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock")
        packer.pack(live, room / "packed", key=None, compress=False, of="v")
    packer.unpack(room / "packed", room / "again", key=None, of="v")
    assert "sock" not in tree(room / "again")


@pytest.mark.parametrize("damage", ["key", "bit", "end"])
def test_a_damaged_file_leaves_no_folder(packer: Packer, live: Path, room: Path, damage: str) -> None:
    key = make_key()
    packer.pack(live, room / "packed", key=key, compress=True, of="v")
    stored = bytearray((room / "packed").read_bytes())
    if damage == "bit":
        stored[len(stored) // 2] ^= 1
    elif damage == "end":
        del stored[-20:]
    (room / "packed").write_bytes(stored)
    with pytest.raises(ApiError) as caught:
        packer.unpack(room / "packed", room / "again", key=make_key() if damage == "key" else key, of="v")
    assert caught.value.error.code == "E_SEALED"
    assert not (room / "again").exists()


def test_what_a_task_could_not_read_is_not_packed(packer: Packer, live: Path, room: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("the tests' account is the tasks'")
    (live / "root's").write_text("secret")
    (live / "root's").chmod(0o600)
    with pytest.raises(ApiError) as caught:
        packer.pack(live, room / "packed", key=None, compress=False, of="v")
    assert caught.value.error.code == "E_FILETYPE" and "Permission denied" in caught.value.error.message
    assert not (room / "packed").exists()


def test_a_copy_is_a_copy(packer: Packer, live: Path, room: Path) -> None:
    before = tree(live)
    packer.copy(live, room / "copy")
    (live / "plain").write_text("other words")
    assert tree(room / "copy") == before


def test_what_is_removed_is_gone(packer: Packer, live: Path, room: Path) -> None:
    (live / "sub").chmod(0)
    packer.remove(live)
    packer.remove(live)
    assert not live.exists()


@pytest.mark.contract("S2.69")
def test_how_much_is_in_a_folder(packer: Packer, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = room / "live"
    packer.make(folder)
    empty = filled(folder, most=10**9)
    assert empty == Filled(0, 0)
    (folder / "megabyte").write_bytes(bytes(1_048_576))
    os.link(folder / "megabyte", folder / "link")
    with open(folder / "holes", "wb") as file:
        file.truncate(10**9)
    assert filled(folder, most=10**9) == Filled(1_048_576, 3)
    for number in range(50):
        (folder / f"{number}").write_bytes(bytes(1_048_576))
    assert 4 * 1_048_576 < filled(folder, most=4 * 1_048_576).bytes <= 5 * 1_048_576
    monkeypatch.setattr(packing, "ENTRIES_MAX", 10)
    assert filled(folder, most=10**9).bytes > 10**9
    assert filled(room / "none", most=1) == Filled(0, 0)
