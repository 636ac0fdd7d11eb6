"""Archives are taken apart only where every member is safe; else nothing is written."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.errors import ApiError
from tui.cli import extracting
from tui.cli.extracting import beside, extract


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, **more: str
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info, data if kind == tarfile.REGTYPE else b""


def refused(archive: Path, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    with pytest.raises(ApiError) as error:
        extract(archive, folder)
    assert error.value.error.code == "E_ARCHIVE"
    assert os.listdir(folder) == [], "something was written"
    return error.value.error.message


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_good_tar(tmp_path: Path, mode: str) -> None:
    archive = tar(
        tmp_path / "a",
        member("d", kind=tarfile.DIRTYPE),
        member("d/x", b"one"),
        member("./y", b"two"),
        mode=mode,
    )
    (tmp_path / "to").mkdir()
    assert extract(archive, tmp_path / "to") == ["d/x", "y"]
    assert (tmp_path / "to/d/x").read_bytes() == b"one"
    assert (tmp_path / "to/y").stat().st_mode & 0o7777 in (0o644, 0o600, 0o664)


TARS: dict[str, tuple[tarfile.TarInfo, bytes]] = {
    "climbs": member("../x"),
    "climbs within": member("a/../../x"),
    "absolute": member("/etc/cron.d/x"),
    "absolute link": member("l", kind=tarfile.SYMTYPE, linkname="/etc/shadow"),
    "relative link": member("l", kind=tarfile.SYMTYPE, linkname="y"),
    "hard link": member("l", kind=tarfile.LNKTYPE, linkname="y"),
    "device": member("d", kind=tarfile.CHRTYPE),
    "pipe": member("p", kind=tarfile.FIFOTYPE),
    "control characters": member("a\x1b[2J"),
    "same name in capitals": member("GOOD"),
}


@pytest.mark.parametrize("case", TARS)
def test_a_tar_with_one_bad_member(tmp_path: Path, case: str) -> None:
    bad = TARS[case]
    message = refused(tar(tmp_path / "a", member("good"), bad), tmp_path / "to")
    assert repr(bad[0].name)[1:5] in message


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extracting, "MEMBERS_MAX", 50)
    many = tar(tmp_path / "a", *(member(f"f{number}", b"") for number in range(51)))
    assert "more than 50 members" in refused(many, tmp_path / "to")


def test_a_bomb(tmp_path: Path) -> None:
    zeros = bytes(20 * 1024 * 1024)
    assert "unpacks to more" in refused(
        tar(tmp_path / "a", member("zeros", zeros), mode="w:gz"), tmp_path / "to"
    )
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", zeros)
    assert "unpacks to more" in refused(tmp_path / "z", tmp_path / "to")


def test_a_good_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/", "")
        archive.writestr("d/x", "one")
        archive.writestr("y", "two")
    (tmp_path / "to").mkdir()
    assert extract(tmp_path / "z", tmp_path / "to") == ["d/x", "y"]
    assert (tmp_path / "to/d/x").read_bytes() == b"one"


def linked(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("l")
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/shadow")


ZIPS: dict[str, Callable[[zipfile.ZipFile], object]] = {
    "climbs": lambda archive: archive.writestr("../x", "x"),
    "absolute": lambda archive: archive.writestr("/etc/x", "x"),
    "backslash": lambda archive: archive.writestr("a\\..\\x", "x"),
    "link": linked,
    "clash": lambda archive: archive.writestr("GOOD", "x"),
}


@pytest.mark.parametrize("case", ZIPS)
def test_a_zip_with_one_bad_member(tmp_path: Path, case: str) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("good", "x")
        ZIPS[case](archive)
    refused(tmp_path / "z", tmp_path / "to")


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes of the last header that begins with `signature`."""
    data = bytearray(path.read_bytes())
    start = data.rindex(signature) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def test_an_encrypted_zip_and_overlapping_entries(tmp_path: Path) -> None:
    for name in ("locked", "overlapping"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a", "x" * 100)
            archive.writestr("b", "y" * 100)
    patched(tmp_path / "locked", b"PK\x01\x02", 8, b"\x01\x00")
    assert "encrypted" in refused(tmp_path / "locked", tmp_path / "to")
    patched(tmp_path / "overlapping", b"PK\x01\x02", 42, (10).to_bytes(4, "little"))
    assert "overlaps" in refused(tmp_path / "overlapping", tmp_path / "to")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 no zip", b"\x1f\x8b\x08 no gzip"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    refused(tmp_path / "a", tmp_path / "to")


def test_a_folder_appears_whole_or_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), beside(tmp_path / "to") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with beside(tmp_path / "to") as folder:
        (folder / "whole").touch()
    assert os.listdir(tmp_path) == ["to"] and os.listdir(tmp_path / "to") == ["whole"]
