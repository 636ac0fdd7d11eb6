"""Archives taken apart without trust: nothing lies outside the folder, is a device, or grows without bound.

All members are judged before the first is written. Tar by the standard library's `data` filter, and more:
links are refused, as are names that some system cannot tell apart. Zip by a loop of our own, because
`zipfile` takes `..` out of names in silence: such an archive is refused, not mended.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from msgspec import Struct

from bus.artifact_names import NameFault, check_name, clash_key
from bus.errors import ApiError
from bus.refusal import quote, refusal

MEMBERS_MAX = 10_000
BYTES_MAX = 20 * 1024**3
RATIO_MAX = 100
_SMALL = 1024 * 1024
"""An archive may always grow to this: of tiny ones the ratio says nothing."""

_PIECE = 1024 * 1024
_ENCRYPTED = 0x1


class Member(Struct, frozen=True):
    """What an archive says of one of its files or folders. `start`: where its data begins (None: unknown)."""

    name: str
    size: int
    is_folder: bool
    start: int | None = None
    packed: int = 0


def extract(archive: Path, folder: Path) -> list[str]:
    """Take `archive` apart below `folder`, an empty one that is ours. Answers the files.

    Raises ApiError: E_ARCHIVE names the member that is not safe, and nothing was written; or where an archive
    says less than it holds, which is seen while it is written.
    """
    size = archive.stat().st_size
    with archive.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _unzip(file, folder, packed=size)
        file.seek(0)
        return _untar(file, folder, packed=size)


def judge(members: Iterator[Member], *, packed: int) -> list[Member]:
    """All members, if every one is safe. Raises ApiError (E_ARCHIVE)."""
    found: list[Member] = []
    names: dict[str, str] = {}
    total, end = 0, 0
    for member in members:
        if len(found) == MEMBERS_MAX:
            raise _refused(member.name, f"more than {MEMBERS_MAX:,} members")
        try:
            check_name(member.name)
        except NameFault as fault:
            raise _refused(member.name, str(fault)) from fault
        before = names.setdefault(clash_key(member.name), member.name)
        if before != member.name or (not member.is_folder and any(f.name == member.name for f in found[-1:])):
            raise _refused(member.name, f"not to be told from {before!r}")
        total += member.size
        if total > min(BYTES_MAX, max(_SMALL, RATIO_MAX * packed)):
            raise _refused(member.name, f"unpacks to more than {total:,} bytes from {packed:,}")
        if member.start is not None:
            if member.start < end:
                raise _refused(member.name, "overlaps the member before it")
            end = member.start + member.packed
        found.append(member)
    return found


def _untar(file: BinaryIO, folder: Path, *, packed: int) -> list[str]:
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            judge(_tar_members(tar), packed=packed)
        file.seek(0)
        written: list[str] = []
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            for info in tar:
                name = _plain(info.name)
                if info.isdir():
                    (folder / name).mkdir(parents=True, exist_ok=True)
                elif (content := tar.extractfile(info)) is not None:
                    _write(folder, name, content, size=info.size)
                    written.append(name)
        return written
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ApiError(refusal("E_ARCHIVE", f"it cannot be read: {error}"[:200])) from error


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        if not (info.isreg() or info.isdir()):
            raise _refused(info.name, "neither a file nor a folder")
        try:
            tarfile.data_filter(info, "/nowhere")
        except tarfile.FilterError as error:
            raise _refused(info.name, str(error)) from error
        yield Member(_plain(info.name), info.size, info.isdir())


def _unzip(file: BinaryIO, folder: Path, *, packed: int) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            judge(map(_zip_member, infos), packed=packed)
            written: list[str] = []
            for info in infos:
                name = _plain(info.orig_filename)
                if info.is_dir():
                    (folder / name).mkdir(parents=True, exist_ok=True)
                    continue
                with archive.open(info) as content:
                    _write(folder, name, content, size=info.file_size)
                written.append(name)
            return written
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ApiError(refusal("E_ARCHIVE", f"it cannot be read: {error}"[:200])) from error


def _zip_member(info: zipfile.ZipInfo) -> Member:
    if info.flag_bits & _ENCRYPTED:
        raise _refused(info.orig_filename, "is encrypted")
    mode = info.external_attr >> 16
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
        raise _refused(info.orig_filename, "neither a file nor a folder")
    return Member(
        _plain(info.orig_filename), info.file_size, info.is_dir(), info.header_offset, info.compress_size
    )


def _plain(name: str) -> str:
    """Without what is only a way of writing: `./a` and `a/`."""
    return name.removeprefix("./").removesuffix("/") or "."


def _write(folder: Path, name: str, content: IO[bytes], *, size: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(fd, "wb") as target:
        left = size
        while piece := content.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise _refused(name, f"has more than the {size:,} bytes that it says")
            target.write(piece)


def _refused(name: str, why: str) -> ApiError:
    return ApiError(refusal("E_ARCHIVE", f"{name[:100]!r}: {why}"[:300], got=quote(name)))


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that becomes it at the end, whole; after an error nothing is left."""
    import shutil
    import tempfile

    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield made
        made.chmod(0o755)
        made.rename(target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
