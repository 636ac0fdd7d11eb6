"""Pools and volumes on the disk of this node. `agent.volumes.volume` has one volume.

What this node knows of its pools, and their keys, lies in the agent's own folder: a key (0600) is never in
the pool. Nothing here is asynchronous; callers see to it that nobody else works on the same volume.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from agent.records import PART, Damaged, copy_whole, name_of, read_record, sweep, write_whole
from agent.volumes.backup_files import BackupFiles
from agent.volumes.packing import Packer, filled
from agent.volumes.sealing import KEY_BYTES
from agent.volumes.volume import (
    ASIDE,
    BACKUPS,
    Meta,
    Pool,
    Volume,
    beside,
    checked,
    forget_aside,
    is_id,
    is_part,
    listed,
    sealed_in,
    set_aside,
)
from bus.errors import ApiError
from bus.mounts import path_fault
from bus.refusal import refusal
from bus.values import AttemptRef
from bus.volume_wire import (
    PoolFound,
    PoolWanted,
    SnapshotKept,
    VolumeWanted,
)

_log = logging.getLogger(__name__)
_MARKER = ".corral-pool.json"
_MIB = 1024 * 1024
_KEYLESS = "E_SEALED: this node has no key of the pool yet"
_FRESH = "fresh"
NODE = "{node}"
"""In the path of a pool: the node's name, for agents that share a disk."""


class VolumeStore:
    """`folder`: the agent's own; `node`: its name. Raises OSError where that cannot be made or read."""

    def __init__(self, folder: Path, packer: Packer, node: str) -> None:
        self._folder = folder
        self._node = node
        self._packer = packer
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self.pools: dict[str, Pool] = {}
        self.volumes: dict[str, Volume] = {}
        self.backups = BackupFiles(self.pools, self._check)
        sweep(folder.glob(f"*{PART}"))
        for path in sorted(folder.glob("*.json")):
            try:
                facts = read_record(path, PoolWanted)
            except (Damaged, FileNotFoundError) as error:
                _log.error("%s; the pool is known again once the coordinator tells of it", error)
            else:
                self._take_up(Pool(facts, _key(path.with_suffix(".key"))))

    def _take_up(self, pool: Pool) -> None:
        """With the volumes that lie in it, as far as its disk can be read."""
        self.pools[pool.facts.id] = pool
        try:
            names = [path.name for path in listed(pool.root)]
        except OSError as error:
            _log.error("pool %s cannot be read: %s", pool.facts.name, error)
            return
        sweep(path for path in listed(pool.root / BACKUPS) if is_part(path))
        for name in filter(is_id, names):
            volume = self.volumes[name] = Volume(name, pool)
            if volume.damage:  # told when it is asked for: the others are sound
                _log.error("volume %s: %s", name, volume.damage)

    def clear_up(self, volume: Volume) -> None:
        """What was left half done in it goes. Nobody may be at work there. Raises OSError, ApiError."""
        for part in (*volume.parts(), volume.root / _FRESH):
            if os.path.lexists(part):
                _log.info("%s was left half done, and goes", part)
                self._packer.remove(part)

    # pools

    def keep_pool(self, wanted: PoolWanted) -> PoolFound:
        """The pool is there, or why not. One that is removed goes, unless volumes are in it."""
        wanted = replace(wanted, path=wanted.path.replace(NODE, self._node))
        try:
            if wanted.removed:
                self._drop_pool(checked(wanted.id))
                return PoolFound(id=wanted.id)
            pool = self.pools.get(wanted.id)
            key_file = self._folder / f"{checked(wanted.id)}.key"
            known = pool.key if pool is not None else _key(key_file)
            if wanted.encrypt and known is None and len(wanted.key) != KEY_BYTES:
                return PoolFound(id=wanted.id, fault=_KEYLESS, keyless=True)
            if pool is None:
                pool = self._make_pool(wanted)
            elif wanted.encrypt and pool.key is None:
                write_whole(key_file, wanted.key)
                pool.key = wanted.key
            self._check(pool)
            key = pool.key if wanted.tell_key else None
            free_mib = shutil.disk_usage(pool.root).free // _MIB
            return PoolFound(id=wanted.id, free_mib=free_mib, key=key or b"")
        except ApiError as error:
            return PoolFound(id=wanted.id, fault=str(error))
        except OSError as error:
            return PoolFound(id=wanted.id, fault=f"{wanted.path}: {error.strerror}")

    def _make_pool(self, wanted: PoolWanted) -> Pool:
        identity = checked(wanted.id)
        fault = path_fault(wanted.path)
        if fault:
            raise ApiError(refusal("E_PATH", f"{wanted.path}: {fault}"))
        key = wanted.key or None
        if wanted.encrypt and key is None:
            key = _key(self._folder / f"{identity}.key")
        root = Path(wanted.path)
        root.mkdir(0o711, parents=True, exist_ok=True)
        if self._is_of(root, identity):  # what we knew of it was lost or damaged
            return self._adopt(wanted)
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

    def _is_of(self, root: Path, identity: str) -> bool:
        """Whether that folder is this very pool already."""
        try:
            return read_record(root / _MARKER, PoolWanted).id == identity
        except (Damaged, FileNotFoundError):
            return False

    def _adopt(self, wanted: PoolWanted) -> Pool:
        facts = replace(wanted, key=b"")
        key_file = self._folder / f"{facts.id}.key"
        pool = Pool(facts, _key(key_file))
        if wanted.key and pool.key is None:
            write_whole(key_file, wanted.key)
            pool.key = wanted.key
        write_whole(self._folder / f"{facts.id}.json", msgspec.json.encode(facts))
        self._take_up(pool)
        _log.warning("pool %s at %s is known again, with all that lies in it", facts.name, facts.path)
        return pool

    def _check(self, pool: Pool) -> None:
        """Raises ApiError where the disk under it is another than it was."""
        try:
            there = read_record(pool.root / _MARKER, PoolWanted)
        except FileNotFoundError:
            raise ApiError(refusal("E_PATH", f"{pool.root} is not this pool: is its disk mounted?")) from None
        except Damaged as error:
            known = self._folder / f"{pool.facts.id}.json"
            message = f"{error}: where it is the disk of pool {pool.facts.name}, put a copy of {known} there"
            raise ApiError(refusal("E_PATH", message)) from error
        if there.id != pool.facts.id:
            raise ApiError(refusal("E_PATH", f"{pool.root} is pool {there.name} ({there.id[:8]})"))

    def _drop_pool(self, identity: str) -> None:
        pool = self.pools.get(identity)
        if pool is None:
            return
        if any(each.pool is pool and (each.meta or each.damage) for each in self.volumes.values()):
            raise ApiError(refusal("E_CONFLICT", "volumes are in it"))
        self.volumes = {name: each for name, each in self.volumes.items() if each.pool is not pool}
        if sealed_in(pool.root / BACKUPS):
            raise ApiError(refusal("E_CONFLICT", "backups are in it"))
        shutil.rmtree(pool.root / BACKUPS, ignore_errors=True)
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
            found = self.volumes[wanted.id] = Volume(checked(wanted.id), pool)
        return found

    def make(self, volume: Volume, wanted: VolumeWanted) -> None:
        """Empty; sealed at once where its pool packs. Raises ApiError."""
        self._prepare(volume)
        if volume.sealed.exists() or any(listed(volume.live)):  # a volume begins with neither
            message = f"{volume.root}/meta.json is gone, and content lies there: put it back, or move it away"
            raise ApiError(refusal("E_SEALED", message))
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
        fresh = self._fresh(volume)
        if volume.pool.facts.packs:
            self._packer.unpack(snapshot, fresh, key=source.pool.key, of=source.id)
        else:
            self._packer.copy(snapshot, fresh)
        self._become(volume, wanted, wanted.content.number)

    def fill_from(self, volume: Volume, wanted: VolumeWanted, source: Path | BinaryIO) -> None:
        """With the content of a backup, the sealed file `source`. Raises ApiError."""
        content = wanted.content
        assert content is not None
        key_pool = self.pools.get(content.key_pool)
        key = key_pool.key if key_pool is not None else None
        if content.key_pool and key is None:
            raise ApiError(refusal("E_SEALED", "the key of the backup's pool is not on this node"))
        self._packer.unpack(source, self._fresh(volume), key=key, of=content.volume)
        self._become(volume, wanted, content.number)

    def _fresh(self, volume: Volume) -> Path:
        self._prepare(volume)
        fresh = volume.root / _FRESH
        self._packer.remove(fresh)
        return fresh

    def _become(self, volume: Volume, wanted: VolumeWanted, number: int) -> None:
        """What is fresh is its content from now on."""
        fresh = volume.root / _FRESH
        self._packer.remove(volume.live)
        os.rename(fresh, volume.live)
        before = volume.meta or Meta(wanted.name, wanted.size_mib)
        changed = volume.pool.facts.packs
        volume.write(
            msgspec.structs.replace(
                before, filled=number, changed=changed, damaged=False, used=self._used(volume)
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
        forget_aside(volume.sealed)
        volume.write(
            msgspec.structs.replace(
                meta,
                generation=meta.generation + 1,
                sha256=packed.sha256,
                size=packed.size,
                used=self._used(volume),
                changed=False,
                damaged=False,
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
            write_whole(beside(target), _known(volume).sha256.encode())
            os.link(volume.sealed, target)  # a sealed file is replaced, and never changed

    def drop_snapshot(self, volume: Volume, identity: str) -> None:
        path = volume.snapshot(identity)
        self._packer.remove(path)
        path.with_name(path.name + ASIDE).unlink(missing_ok=True)
        beside(volume.snapshot(identity)).unlink(missing_ok=True)

    def pack_snapshot(self, volume: Volume, identity: str) -> None:
        """A snapshot that is a folder, as a sealed file as well: compressed, and not encrypted."""
        target = volume.packs() / checked(identity)
        target.parent.mkdir(0o711, exist_ok=True)
        packed = self._packer.pack(volume.snapshot(identity), target, key=None, compress=True, of=volume.id)
        write_whole(beside(target), packed.sha256.encode())

    def unpack_snapshot(self, volume: Volume, identity: str) -> None:
        """That sealed file goes. Twice is fine."""
        target = volume.packs() / checked(identity)
        beside(target).unlink(missing_ok=True)
        target.unlink(missing_ok=True)

    def sealed_file(self, sha256: str) -> Path | None:
        """The file of this hash, of any volume or backup that lies here."""
        for path, found in self.backups.all():
            if found == sha256:
                return path
        for volume in list(self.volumes.values()):
            with suppress(OSError):  # its disk cannot be read: another may have it
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
        forget_aside(volume.sealed)
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
        forget_aside(target)
        write_whole(beside(target), kept.sha256.encode())
        copy_whole(source, target)

    def keep_snapshot(self, volume: Volume, kept: SnapshotKept) -> None:
        """What lies here already becomes a snapshot. Raises ApiError where it has gone."""
        own = self.sealed_file(kept.sha256)
        if own is None:
            raise ApiError(refusal("E_NOT_FOUND", "the snapshot is not on this node any more"))
        with open(own, "rb") as source:
            self.receive_snapshot(volume, kept, source)

    def condemn(self, volume: Volume, path: Path) -> None:
        """The sealed file of a volume, of a snapshot of it, or of a pack of one, is damaged."""
        if path != volume.sealed:
            set_aside(path)
            return
        volume.write(msgspec.structs.replace(_known(volume), damaged=True))
        set_aside(path)

    # tasks

    def open(self, volume: Volume, attempt: AttemptRef, *, writes: bool) -> Path:
        """Its folder for a task, which has it from now on. Raises ApiError."""
        meta = _known(volume)
        self._check(volume.pool)
        if not volume.live.is_dir():
            if meta.damaged:
                raise ApiError(refusal("E_SEALED", f"the sealed file of volume {meta.name} is damaged"))
            self._packer.unpack(volume.sealed, volume.live, key=volume.pool.key, of=volume.id)
        if writes and attempt not in meta.unsealed and volume.pool.facts.packs:
            unsealed = (*meta.unsealed, attempt)
            volume.write(msgspec.structs.replace(meta, changed=True, unsealed=unsealed))
        (volume.root / "uses").mkdir(0o700, exist_ok=True)
        write_whole(volume.root / "uses" / name_of(attempt), b"rw" if writes else b"ro")
        return volume.live

    def close(self, volume: Volume, attempt: AttemptRef) -> None:
        """That task has it no more. Twice is fine."""
        (volume.root / "uses" / name_of(attempt)).unlink(missing_ok=True)

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
    if volume.damage:
        raise ApiError(refusal("E_SEALED", volume.damage.removeprefix("E_SEALED: ")))
    if volume.meta is None:
        raise ApiError(refusal("E_UNAVAILABLE", "the volume is not on this node yet", retry_after_s=1.0))
    return volume.meta


def _key(path: Path) -> bytes | None:
    """None: it is lost, or damaged. Told as a fault of its pool."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.error("%s cannot be read: %s", path, error.strerror)
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
