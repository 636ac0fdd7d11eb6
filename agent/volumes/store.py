"""Pools and volumes on the disk of this node.

    <pool>/.corral-pool.json          which pool this folder is
    <pool>/<volume>/meta.json         what is known of a volume
    <pool>/<volume>/live/             its content, of the tasks' account
    <pool>/<volume>/sealed            its content as one file, in a pool that packs (`PoolWanted.packs`)
    <pool>/<volume>/snapshots/<id>    a folder, or a sealed file likewise; beside that its hash, <id>.sha256
    <pool>/<volume>/uses/<attempt>    who has it open: "ro" or "rw"

What this node knows of its pools, and their keys, lies in the agent's own folder: a key (0600) is never in
the pool. Nothing here is asynchronous; callers see to it that nobody else works on the same volume.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.core.volumes import Seen
from agent.volumes.packing import Packer, filled
from agent.volumes.sealing import KEY_BYTES
from agent.volumes.writing import copy_whole, write_whole
from bus.errors import ApiError
from bus.mounts import path_fault
from bus.refusal import refusal
from bus.values import AttemptRef
from bus.volume_wire import (
    PoolFound,
    PoolWanted,
    SnapshotFound,
    SnapshotKept,
    VolumeFound,
    VolumeWanted,
)

_MARKER = ".corral-pool.json"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MIB = 1024 * 1024
NODE = "{node}"
"""In the path of a pool: the node's name, for agents that share a disk."""

_LIVE, _SEALED = "live", "sealed"


class Meta(Struct, omit_defaults=True):
    """`changed`: a task that may write has had it since it was sealed; `unsealed` are all that did."""

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


class Pool:
    """`facts` without the key, which is `key`."""

    def __init__(self, facts: PoolWanted, key: bytes | None) -> None:
        self.facts = facts
        self.key = key
        self.root = Path(facts.path)


class Volume:
    """One volume of this node. `meta` None: it does not exist yet."""

    def __init__(self, identity: str, pool: Pool) -> None:
        self.id = identity
        self.pool = pool
        self.root = pool.root / identity
        self.live = self.root / _LIVE
        self.sealed = self.root / _SEALED
        self.meta = self._read()
        self.fault = ""

    def _read(self) -> Meta | None:
        try:
            return msgspec.json.decode((self.root / "meta.json").read_bytes(), type=Meta)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise ApiError(refusal("E_SEALED", f"{self.root}/meta.json is damaged: {error}")) from error

    def write(self, meta: Meta) -> None:
        """What is known of it from now on."""
        write_whole(self.root / "meta.json", msgspec.json.encode(meta))
        self.meta = meta

    def snapshot(self, identity: str) -> Path:
        return self.root / "snapshots" / _checked(identity)

    def uses(self) -> dict[AttemptRef, bool]:
        """Who has it open, and whether they write."""
        found = {}
        for path in _listed(self.root / "uses"):
            job, index, fence = path.name.split(".")
            found[AttemptRef(int(job), int(index), int(fence))] = path.read_bytes() == b"rw"
        return found

    def seen(self) -> Seen:
        """As `next_step` wants to know it."""
        uses = self.uses()
        return Seen(
            exists=self.meta is not None,
            packs=self.pool.facts.packs,
            live=self.live.is_dir(),
            changed=self.meta is not None and self.meta.changed,
            uses=len(uses),
            writers=sum(uses.values()),
            filled=0 if self.meta is None else self.meta.filled,
            sha256="" if self.meta is None else self.meta.sha256,
            snapshots=frozenset(path.name for path in self._snapshots()),
        )

    def found(self) -> VolumeFound:
        """As the coordinator is told."""
        meta, uses = self.meta, self.uses()
        if meta is None:
            return VolumeFound(id=self.id, fault=self.fault)
        return VolumeFound(
            id=self.id,
            generation=meta.generation,
            sha256=meta.sha256,
            size=meta.size,
            used=meta.used,
            filled=meta.filled,
            ready=True,
            fault=self.fault,
            uses=tuple(sorted(uses)),
            writers=tuple(sorted(each for each, writes in uses.items() if writes)),
            snapshots=tuple(
                SnapshotFound(id=path.name, size=_size(path), sha256=_hash_beside(path))
                for path in sorted(self._snapshots())
            ),
            unsealed=meta.unsealed,
            sealed_fill=meta.sealed_fill,
        )

    def sealed_files(self) -> Iterator[tuple[str, Path]]:
        """Its content and its snapshots as other nodes may have them, by their hashes."""
        if self.meta is not None and self.meta.sha256:
            yield self.meta.sha256, self.sealed
        for path in self._snapshots():
            if sha256 := _hash_beside(path):
                yield sha256, path

    def _snapshots(self) -> list[Path]:
        return [path for path in _listed(self.root / "snapshots") if _ID.fullmatch(path.name)]


class VolumeStore:
    """`folder`: the agent's own; `node`: its name. Raises OSError where that cannot be made or read."""

    def __init__(self, folder: Path, packer: Packer, node: str) -> None:
        self._folder = folder
        self._node = node
        self._packer = packer
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self.pools: dict[str, Pool] = {}
        self.volumes: dict[str, Volume] = {}
        for path in sorted(folder.glob("*.json")):
            facts = msgspec.json.decode(path.read_bytes(), type=PoolWanted)
            self.pools[facts.id] = Pool(facts, _key(path.with_suffix(".key")))
            self._load(self.pools[facts.id])

    def _load(self, pool: Pool) -> None:
        for path in _listed(pool.root):
            if _ID.fullmatch(path.name):
                self.volumes[path.name] = Volume(path.name, pool)

    # pools

    def keep_pool(self, wanted: PoolWanted) -> PoolFound:
        """The pool is there, or why not. One that is removed goes, unless volumes are in it."""
        wanted = replace(wanted, path=wanted.path.replace(NODE, self._node))
        try:
            if wanted.removed:
                self._drop_pool(_checked(wanted.id))
                return PoolFound(id=wanted.id)
            pool = self.pools.get(wanted.id)
            if pool is None:
                pool = self._make_pool(wanted)
            self._check(pool)
            return PoolFound(id=wanted.id, free_mib=shutil.disk_usage(pool.root).free // _MIB)
        except ApiError as error:
            return PoolFound(id=wanted.id, fault=str(error))
        except OSError as error:
            return PoolFound(id=wanted.id, fault=f"{wanted.path}: {error.strerror}")

    def _make_pool(self, wanted: PoolWanted) -> Pool:
        identity = _checked(wanted.id)
        fault = path_fault(wanted.path)
        if fault:
            raise ApiError(refusal("E_PATH", f"{wanted.path}: {fault}"))
        key = wanted.key or None
        if wanted.encrypt and (key is None or len(key) != KEY_BYTES):
            raise ApiError(
                refusal("E_SEALED", "this node has no key of the pool: remove it and make it anew")
            )
        root = Path(wanted.path)
        root.mkdir(0o711, parents=True, exist_ok=True)
        if any(path.name != "lost+found" for path in root.iterdir()):
            raise ApiError(refusal("E_PATH", f"{wanted.path} is not empty, and is not this pool"))
        _check_passable(root)
        if key is not None:
            write_whole(self._folder / f"{identity}.key", key)
        facts = replace(wanted, key=b"")
        pool = Pool(facts, key)
        write_whole(root / _MARKER, msgspec.json.encode(facts))
        write_whole(self._folder / f"{identity}.json", msgspec.json.encode(facts))
        self.pools[identity] = pool
        return pool

    def _check(self, pool: Pool) -> None:
        """Raises ApiError where the disk under it is another than it was, or the key is lost."""
        try:
            there = msgspec.json.decode((pool.root / _MARKER).read_bytes(), type=PoolWanted)
        except (FileNotFoundError, msgspec.MsgspecError):
            raise ApiError(refusal("E_PATH", f"{pool.root} is not this pool: is its disk mounted?")) from None
        if there.id != pool.facts.id:
            raise ApiError(refusal("E_PATH", f"{pool.root} is pool {there.name} ({there.id[:8]})"))
        if pool.facts.encrypt and pool.key is None:
            raise ApiError(refusal("E_SEALED", f"the key of pool {pool.facts.name} is lost on this node"))

    def _drop_pool(self, identity: str) -> None:
        pool = self.pools.get(identity)
        if pool is None:
            return
        if any(each.pool is pool and each.meta is not None for each in self.volumes.values()):
            raise ApiError(refusal("E_CONFLICT", "volumes are in it"))
        self.volumes = {name: each for name, each in self.volumes.items() if each.pool is not pool}
        (pool.root / _MARKER).unlink(missing_ok=True)
        with suppress(OSError):  # a mount point, or not ours to remove
            pool.root.rmdir()
        (self._folder / f"{identity}.json").unlink(missing_ok=True)
        (self._folder / f"{identity}.key").unlink(missing_ok=True)
        del self.pools[identity]

    # volumes

    def volume(self, wanted: VolumeWanted) -> Volume:
        """Also one that does not exist yet. Raises ApiError (E_NOT_FOUND)."""
        found = self.volumes.get(wanted.id)
        if found is None:
            pool = self.pools.get(wanted.pool)
            if pool is None:
                raise ApiError(refusal("E_NOT_FOUND", "this node has no such pool"))
            found = self.volumes[wanted.id] = Volume(_checked(wanted.id), pool)
        return found

    def make(self, volume: Volume, wanted: VolumeWanted) -> None:
        """Empty; sealed at once where its pool packs."""
        self._prepare(volume)
        self._packer.remove(volume.live)
        self._packer.make(volume.live)
        volume.write(Meta(wanted.name, wanted.size_mib, changed=volume.pool.facts.packs))

    def fill(self, volume: Volume, wanted: VolumeWanted) -> None:
        """With the content of a snapshot, of this or another volume on this node. Raises ApiError."""
        assert wanted.content is not None
        source = self.volumes.get(wanted.content.volume)
        if source is None or source.pool.facts.packs != volume.pool.facts.packs:
            raise ApiError(refusal("E_NOT_FOUND", "the volume of that snapshot is not on this node"))
        snapshot = source.snapshot(wanted.content.snapshot)
        if not snapshot.exists():
            raise ApiError(refusal("E_NOT_FOUND", "the snapshot is not on this node"))
        self._prepare(volume)
        fresh = volume.root / "fresh"
        self._packer.remove(fresh)
        if volume.pool.facts.packs:
            self._packer.unpack(snapshot, fresh, key=source.pool.key, of=source.id)
        else:
            self._packer.copy(snapshot, fresh)
        self._packer.remove(volume.live)
        os.rename(fresh, volume.live)
        before = volume.meta or Meta(wanted.name, wanted.size_mib)
        changed = volume.pool.facts.packs
        volume.write(
            msgspec.structs.replace(
                before, filled=wanted.content.number, changed=changed, used=self._used(volume)
            )
        )

    def seal(self, volume: Volume) -> None:
        """What is in the folder becomes the sealed file: a generation more. Raises ApiError."""
        meta = _known(volume)
        if not volume.live.is_dir():  # put away before that was noted
            volume.write(msgspec.structs.replace(meta, changed=False, unsealed=()))
            return
        facts = volume.pool.facts
        packed = self._packer.pack(
            volume.live, volume.sealed, key=volume.pool.key, compress=facts.compress, of=volume.id
        )
        volume.write(
            msgspec.structs.replace(
                meta,
                generation=meta.generation + 1,
                sha256=packed.sha256,
                size=packed.size,
                used=self._used(volume),
                changed=False,
                unsealed=(),
                sealed_fill=meta.filled,
            )
        )

    def put_away(self, volume: Volume) -> None:
        """The folder goes; the sealed file has all of it."""
        self._packer.remove(volume.live)

    def take_snapshot(self, volume: Volume, identity: str) -> None:
        """Raises ApiError."""
        target = volume.snapshot(identity)
        target.parent.mkdir(0o711, exist_ok=True)
        if not volume.pool.facts.packs:
            self._packer.copy(volume.live, target)
        else:
            write_whole(_beside(target), _known(volume).sha256.encode())
            os.link(volume.sealed, target)  # a sealed file is replaced, and never changed

    def drop_snapshot(self, volume: Volume, identity: str) -> None:
        self._packer.remove(volume.snapshot(identity))
        _beside(volume.snapshot(identity)).unlink(missing_ok=True)

    def sealed_file(self, sha256: str) -> Path | None:
        """The file of this hash, of any volume that lies here."""
        for volume in list(self.volumes.values()):
            for found, path in volume.sealed_files():
                if found == sha256:
                    return path
        return None

    def remove(self, volume: Volume) -> None:
        """All of it."""
        self._packer.remove(volume.root)
        self.volumes.pop(volume.id, None)

    def receive(self, volume: Volume, wanted: VolumeWanted, source: BinaryIO) -> None:
        """`source`, verified to be what is wanted, becomes the sealed file of this replica."""
        self._prepare(volume)
        copy_whole(source, volume.sealed)
        self._packer.remove(volume.live)
        volume.write(
            Meta(
                wanted.name,
                wanted.size_mib,
                generation=wanted.generation,
                sha256=wanted.sha256,
                size=wanted.size,
                filled=wanted.filled,
                sealed_fill=wanted.filled,
                used=wanted.used,
            )
        )

    def receive_snapshot(self, volume: Volume, kept: SnapshotKept, source: BinaryIO) -> None:
        """`source`, verified to be what is wanted, becomes a snapshot here."""
        target = volume.snapshot(kept.id)
        target.parent.mkdir(0o711, exist_ok=True)
        write_whole(_beside(target), kept.sha256.encode())
        copy_whole(source, target)

    def keep_snapshot(self, volume: Volume, kept: SnapshotKept) -> None:
        """What lies here already becomes a snapshot. Raises ApiError where it has gone."""
        own = self.sealed_file(kept.sha256)
        if own is None:
            raise ApiError(refusal("E_NOT_FOUND", "the snapshot is not on this node any more"))
        with open(own, "rb") as source:
            self.receive_snapshot(volume, kept, source)

    # tasks

    def open(self, volume: Volume, attempt: AttemptRef, *, writes: bool) -> Path:
        """Its folder for a task, which has it from now on. Raises ApiError."""
        meta = _known(volume)
        self._check(volume.pool)
        if not volume.live.is_dir():
            self._packer.unpack(volume.sealed, volume.live, key=volume.pool.key, of=volume.id)
        if writes and attempt not in meta.unsealed and volume.pool.facts.packs:
            unsealed = (*meta.unsealed, attempt)
            volume.write(msgspec.structs.replace(meta, changed=True, unsealed=unsealed))
        (volume.root / "uses").mkdir(0o700, exist_ok=True)
        write_whole(volume.root / "uses" / _name(attempt), b"rw" if writes else b"ro")
        return volume.live

    def close(self, volume: Volume, attempt: AttemptRef) -> None:
        """That task has it no more. Twice is fine."""
        (volume.root / "uses" / _name(attempt)).unlink(missing_ok=True)

    def measure(self, volume: Volume) -> Meta:
        """How much is in its folder now."""
        meta = _known(volume)
        if volume.live.is_dir():
            meta = msgspec.structs.replace(meta, used=self._used(volume))
            if volume.meta != meta:
                volume.write(meta)
        return meta

    def _used(self, volume: Volume) -> int:
        most = (volume.meta.size_mib if volume.meta is not None else 0) * _MIB
        return filled(volume.live, most=2 * most).bytes

    def _prepare(self, volume: Volume) -> None:
        self._check(volume.pool)
        volume.root.mkdir(0o711, exist_ok=True)
        volume.root.chmod(0o711)


def _known(volume: Volume) -> Meta:
    if volume.meta is None:
        raise ApiError(refusal("E_UNAVAILABLE", "the volume is not on this node yet", retry_after_s=1.0))
    return volume.meta


def _checked(identity: str) -> str:
    if _ID.fullmatch(identity) is None:
        raise ApiError(refusal("E_ID", "not an id"))
    return identity


def _name(attempt: AttemptRef) -> str:
    return f"{attempt.job}.{attempt.index}.{attempt.fence}"


def _listed(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else filled(path, most=1 << 62).bytes


def _beside(snapshot: Path) -> Path:
    """Where the hash of a sealed snapshot is kept."""
    return snapshot.with_name(f"{snapshot.name}.sha256")


def _hash_beside(snapshot: Path) -> str:
    try:
        return _beside(snapshot).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _key(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == KEY_BYTES else None


def _check_passable(root: Path) -> None:
    """Tasks must get to their volumes. Raises ApiError (E_PATH)."""
    if os.geteuid() != 0:
        return
    for folder in (root, *root.parents):
        if not folder.stat().st_mode & 0o001:
            message = f"the tasks' account cannot pass through {folder}: chmod o+x {folder}"
            raise ApiError(refusal("E_PATH", message))
