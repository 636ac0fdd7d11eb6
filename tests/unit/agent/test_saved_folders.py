"""Folders of checkpoints: read as if every name in them were a trap, and written where no link leads away."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from agent.saved_folders import SavedFolders
from bus.errors import ApiError
from bus.values import AttemptRef

FIRST = AttemptRef(7, 0, 1)


@pytest.fixture
def folders(tmp_path: Path) -> SavedFolders:
    made = SavedFolders(tmp_path)
    made.make(FIRST)
    return made


def put(folders: SavedFolders, name: str, content: bytes = b"x") -> Path:
    path = Path(folders.path(FIRST)) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def stamps(folders: SavedFolders, folder: str = "", told: tuple[str, ...] = ()) -> dict[str, str]:
    return folders.entries(FIRST, folder, told)


def test_a_stamp_changes_with_anything_below(folders: SavedFolders) -> None:
    file = put(folders, "step-1/deep/w")
    put(folders, ".hidden")
    put(folders, "step-2.part")
    (first,) = stamps(folders).items()
    assert first[0] == "step-1"
    assert stamps(folders) == dict([first])
    os.utime(file, ns=(1, 1))
    assert stamps(folders)["step-1"] != first[1]


def test_the_watched_folder_and_what_is_told(folders: SavedFolders) -> None:
    put(folders, "v0/step-1")
    put(folders, "other")
    assert set(stamps(folders, "v0")) == {"v0/step-1"}
    assert set(stamps(folders, "v0", ("other", "missing"))) == {"v0/step-1", "other"}
    assert stamps(folders, "nowhere") == {}
    assert SavedFolders(Path("/nowhere")).entries(FIRST, "", ()) == {}


def test_the_files_of_a_checkpoint(folders: SavedFolders) -> None:
    put(folders, "step-1/b")
    put(folders, "step-1/a/c")
    put(folders, "step-2", b"one file")
    assert folders.names(FIRST, "step-1") == ["step-1/a/c", "step-1/b"]
    assert folders.names(FIRST, "step-2") == ["step-2"]
    fd = folders.open(FIRST, "step-2")
    assert os.read(fd, 100) == b"one file"
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing", "E_NOT_FOUND"), ("../../etc", "E_PATH"), ("/etc", "E_PATH"), ("empty", "E_EMPTY")],
)
def test_what_is_no_checkpoint(folders: SavedFolders, name: str, code: str) -> None:
    (Path(folders.path(FIRST)) / "empty").mkdir()
    with pytest.raises(ApiError) as caught:
        folders.names(FIRST, name)
    assert caught.value.error.code == code


def test_links_lead_nowhere(folders: SavedFolders, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "w").write_bytes(b"of somebody else")
    top = Path(folders.path(FIRST))
    (top / "step-1").symlink_to(secret)
    (top / "step-2").mkdir()
    (top / "step-2" / "w").symlink_to(secret / "w")
    for name in ("step-1/w", "step-2/w"):
        with pytest.raises(ApiError) as caught:
            folders.open(FIRST, name)
        assert caught.value.error.code == "E_FILETYPE"
    sha256 = hashlib.sha256(b"new").hexdigest()
    with pytest.raises(NotADirectoryError):
        folders.write(FIRST, "step-1/new", io.BytesIO(b"new"), sha256=sha256)
    folders.remove(FIRST, "step-1")
    folders.remove(FIRST)
    assert (secret / "w").read_bytes() == b"of somebody else" and not top.exists()


def test_what_is_put_back_is_what_its_hash_says(folders: SavedFolders) -> None:
    folders.write(FIRST, "step-1/a/w", io.BytesIO(b"w"), sha256=hashlib.sha256(b"w").hexdigest())
    assert (Path(folders.path(FIRST)) / "step-1" / "a" / "w").read_bytes() == b"w"
    with pytest.raises(ApiError) as caught:
        folders.write(FIRST, "step-1/v", io.BytesIO(b"v"), sha256="0" * 64)
    assert caught.value.error.code == "E_HASH"
    folders.make(FIRST)  # tried again: from an empty folder
    assert os.listdir(folders.path(FIRST)) == []


def test_removing_is_of_one_or_of_all(folders: SavedFolders) -> None:
    put(folders, "step-1/w")
    put(folders, "step-2")
    folders.remove(FIRST, "step-1")
    folders.remove(FIRST, "step-1")
    assert set(stamps(folders)) == {"step-2"}
    folders.remove(FIRST, "step-2")
    assert stamps(folders) == {}
    folders.remove(FIRST)
    folders.remove(FIRST)
    assert not Path(folders.path(FIRST)).exists()
