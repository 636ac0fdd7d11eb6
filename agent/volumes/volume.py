"""A volume as it lies on the disk of this node.

<pool>/.corral-pool.json          which pool this folder is
<pool>/<volume>/meta.json         what is known of a volume
<pool>/<volume>/live/             its content, of the tasks' account
<pool>/<volume>/sealed            its content as one file, in a pool that packs (`PoolWanted.packs`)
<pool>/<volume>/snapshots/<id>    a folder, or a sealed file likewise; beside that its hash, <id>.sha256
<pool>/<volume>/packs/<id>        a snapshot as a sealed file too, and its hash, while others fetch it
<pool>/<volume>/uses/<attempt>    who has it open: "ro" or "rw"
<pool>/backups/<id>               a sealed file of a volume of another node, and its hash, <id>.sha256
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.core.volumes import Seen
from agent.records import PART, Damaged, attempt_named, read_record, write_whole
from agent.volumes.packing import filled
from bus.errors import ApiError
from bus.refusal import refusal
from bus.values import AttemptRef
from bus.volume_wire import PoolWanted, SnapshotFound, VolumeFound

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_USE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_WRITTEN = re.compile(rf"meta\.json|live|sealed|fresh|{_USE.pattern}|{_ID.pattern}(\.sha256)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
ASIDE = ".damaged"
"""What is damaged has this behind its name."""

BACKUPS = "backups"
"""Folder of a pool."""

_DAMAGED = "E_SEALED: its sealed file is damaged"
_LIVE, _SEALED, _PACKS = "live", "sealed", "packs"


class Meta(Struct, omit_defaults=True):
    """`changed`: a task that may write has had it since it was sealed; `unsealed` are all that did.

    `damaged`: the sealed file was found to be another than was sealed, and is out of the way.
    """

    name: str
    size_mib: int
    generation: int = 0
    sha256: str = ""
    size: int = 0
    filled: int = 0
    used: int = 0
    changed: bool = False
    unsealed: tuple[AttemptRef, ...] = ()
    sealed_fill: int = 0  # the `filled` of what is in the sealed file
    damaged: bool = False


class Pool:
    """`facts` without the key, which is `key`."""

    def __init__(self, facts: PoolWanted, key: bytes | None) -> None:
        self.facts = facts
        self.key = key
        self.root = Path(facts.path)


class Volume:
    """One volume of this node. `meta` None: it does not exist yet; or nobody can tell, as `damage` says."""

    def __init__(self, identity: str, pool: Pool) -> None:
        self.id = identity
        self.pool = pool
        self.root = pool.root / identity
        self.live = self.root / _LIVE
        self.sealed = self.root / _SEALED
        self.meta: Meta | None = None
        self.damage = ""
        self.read()
        self.fault = self.damage

    def read(self) -> None:
        """What is known of it, from the disk."""
        self.meta, self.damage = None, ""
        try:
            self.meta = read_record(self.root / "meta.json", Meta)
        except FileNotFoundError:
            pass
        except Damaged as error:
            self.damage = (
                f"E_SEALED: {error}; its content lies beside it: put the file back, or remove the volume"
            )

    def write(self, meta: Meta) -> None:
        """What is known of it from now on."""
        write_whole(self.root / "meta.json", msgspec.json.encode(meta))
        self.meta, self.damage = meta, ""

    def snapshot(self, identity: str) -> Path:
        return self.root / "snapshots" / checked(identity)

    def uses(self) -> dict[AttemptRef, bool]:
        """Who has it open, and whether they write."""
        found = {}
        for path in listed(self.root / "uses"):
            # beside them lies what is being written, or was when power went
            attempt = attempt_named(path.name)
            if attempt is None:
                continue
            with suppress(FileNotFoundError):  # over since it was listed
                found[attempt] = path.read_bytes() != b"ro"  # of a damaged one nobody knows
        return found

    def seen(self) -> Seen:
        """As `next_step` wants to know it."""
        uses = self.uses()
        return Seen(
            exists=self.meta is not None,
            packs=self.pool.facts.packs,
            live=self.live.is_dir(),
            changed=self.meta is not None and self.meta.changed,
            damaged=self.meta is not None and self.meta.damaged,
            uses=len(uses),
            writers=sum(uses.values()),
            filled=0 if self.meta is None else self.meta.filled,
            sha256="" if self.meta is None else self.meta.sha256,
            snapshots=frozenset(path.name for path in self._snapshots()),
            packed=frozenset(path.name for path in sealed_in(self.packs())),
        )

    def found(self) -> VolumeFound:
        """As the coordinator is told."""
        meta, uses = self.meta, self.uses()
        if meta is None:
            return VolumeFound(id=self.id, fault=self.fault)
        snapshots = sorted(self._snapshots())
        # looked for after them: one that is set aside between the two looks is not told as both
        aside = {
            path.name.removesuffix(ASIDE)
            for path in listed(self.root / "snapshots")
            if path.name.endswith(ASIDE)
        }
        if self.pool.facts.packs:  # without its hash nobody can tell whether it is whole
            aside |= {path.name for path in snapshots if path.exists() and not hash_beside(path)}
        broken = tuple(sorted(aside))
        return VolumeFound(
            id=self.id,
            generation=meta.generation,
            sha256="" if meta.damaged else meta.sha256,
            size=meta.size,
            used=meta.used,
            filled=meta.filled,
            ready=not meta.damaged or self.live.is_dir(),
            damaged=meta.damaged,
            fault=self.fault or (_DAMAGED if meta.damaged else ""),
            uses=tuple(sorted(uses)),
            writers=tuple(sorted(each for each, writes in uses.items() if writes)),
            snapshots=tuple(_told(path for path in snapshots if path.name not in broken)),
            unsealed=meta.unsealed,
            sealed_fill=meta.sealed_fill,
            packs=tuple(_told(sealed_in(self.packs()))),
            broken=broken,
        )

    def sealed_files(self) -> Iterator[tuple[str, Path]]:
        """Its content and its snapshots as other nodes may have them, by their hashes."""
        if self.meta is not None and self.meta.sha256 and not self.meta.damaged:
            yield self.meta.sha256, self.sealed
        for path in (*self._snapshots(), *sealed_in(self.packs())):
            if sha256 := hash_beside(path):
                yield sha256, path

    def all_sealed_files(self) -> list[tuple[str, Path]]:
        """As `sealed_files`. Raises OSError."""
        return list(self.sealed_files())

    def parts(self) -> list[Path]:
        """What was being written, or brought here, when power went or we were killed."""
        folders = (self.root, self.root / "uses", self.root / "snapshots", self.packs())
        return [path for folder in folders for path in listed(folder) if is_part(path)]

    def packs(self) -> Path:
        """Where snapshots lie as sealed files for others."""
        return self.root / _PACKS

    def _snapshots(self) -> list[Path]:
        return [path for path in listed(self.root / "snapshots") if _ID.fullmatch(path.name)]


def is_id(name: str) -> bool:
    """Whether it is one of ours."""
    return _ID.fullmatch(name) is not None


def is_part(path: Path) -> bool:
    """Whether it has the name of what we write; whatever else lies there is none of ours."""
    name = path.name.removesuffix(PART)
    return name != path.name and _WRITTEN.fullmatch(name) is not None


def checked(identity: str) -> str:
    """Raises ApiError (E_ID)."""
    if _ID.fullmatch(identity) is None:
        raise ApiError(refusal("E_ID", "not an id"))
    return identity


def listed(folder: Path) -> Iterator[Path]:
    """What is in it, by name; nothing where it is not there. Raises OSError."""
    try:
        yield from sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return


def _told(snapshots: Iterable[Path]) -> Iterator[SnapshotFound]:
    """Without those that went since they were listed."""
    for path in snapshots:
        with suppress(FileNotFoundError):
            yield SnapshotFound(id=path.name, size=_size(path), sha256=hash_beside(path))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else filled(path, most=1 << 62).bytes


def sealed_in(folder: Path) -> list[Path]:
    """Sealed files with their hashes beside them: they are whole."""
    return [path for path in listed(folder) if _ID.fullmatch(path.name) and beside(path).exists()]


def beside(snapshot: Path) -> Path:
    """Where the hash of a sealed snapshot is kept."""
    return snapshot.with_name(f"{snapshot.name}.sha256")


def hash_beside(snapshot: Path) -> str:
    """Nothing of one that is no sealed file, or not whole, or whose hash cannot be read."""
    try:
        sha256 = beside(snapshot).read_bytes().decode(errors="replace")
    except OSError:
        return ""
    return sha256 if _SHA256.fullmatch(sha256) else ""


def set_aside(path: Path) -> None:
    """A damaged file is used no more; its operator may look at it."""
    beside(path).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + ASIDE))


def forget_aside(path: Path) -> None:
    """What was damaged there has been replaced, or is wanted no more."""
    path.with_name(path.name + ASIDE).unlink(missing_ok=True)
