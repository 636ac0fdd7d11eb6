"""What the coordinator wants of a node's pools and volumes, and what the node has. Pure.

The coordinator says again and again how all should be; the node answers at once how it is, and works on the
rest. What is not named is left alone: only what is named as removed goes away.
"""

from __future__ import annotations

from msgspec import Struct

from bus.values import AttemptRef


class PoolWanted(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A pool. `key`: of an encrypted one, told to nodes that lack it; they keep it in a file.

    `tell_key`: the node is to say it, for another that lacks it.
    """

    id: str
    name: str
    type: str
    path: str
    compress: bool = False
    encrypt: bool = False
    size_mib: int = 0
    key: bytes = b""
    removed: bool = False
    tell_key: bool = False

    @property
    def packs(self) -> bool:
        """Whether its volumes are one sealed file each while no task has them."""
        return self.compress or self.encrypt or self.type == "replicated"


class CopyOf(Struct, kw_only=True, frozen=True):
    """The content of a snapshot: of which volume, and the order's number, so that it is obeyed once.

    With `sha256` it is that of a backup, a sealed file of `size` bytes, to be brought from where it lies;
    `key_pool`: the pool with whose key it is sealed.
    """

    volume: str
    snapshot: str
    number: int
    sha256: str = ""
    size: int = 0
    key_pool: str = ""


class BackupWanted(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A backup that should lie here, in a pool: a sealed file of another node's volume, to be brought."""

    id: str
    pool: str
    sha256: str = ""
    size: int = 0
    removed: bool = False


class BackupFound(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`ready`: it lies here. `removed`: it was to go, and is gone. `damaged`: it is not what came."""

    id: str
    ready: bool = False
    removed: bool = False
    damaged: bool = False
    fault: str = ""


class SnapshotKept(Struct, kw_only=True, frozen=True):
    """A snapshot that other nodes have: the hash of its sealed file, and the bytes of that."""

    id: str
    sha256: str
    size: int


class VolumeWanted(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`primary`: tasks write to it here. A replica has the content `sha256` of `generation`.

    `content`: what it is to be filled with. `snapshots` that should be taken, `dropped` ones that should not
    be there, `kept` ones to be brought where they are not. A primary that has a `sha256` and is not there was
    lost, and is brought as well. `filled` and `used` are of that content, see `VolumeFound`. `packed`:
    snapshots that others are to fetch, which should lie here as sealed files too.
    """

    id: str
    pool: str
    name: str
    size_mib: int
    primary: bool = True
    removed: bool = False
    content: CopyOf | None = None
    snapshots: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    generation: int = 0
    sha256: str = ""
    size: int = 0
    filled: int = 0
    used: int = 0
    kept: tuple[SnapshotKept, ...] = ()
    packed: tuple[str, ...] = ()


class VolumesWanted(Struct, kw_only=True, tag="volumes"):
    """See the module."""

    epoch: int
    pools: tuple[PoolWanted, ...] = ()
    volumes: tuple[VolumeWanted, ...] = ()
    backups: tuple[BackupWanted, ...] = ()


class PoolFound(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`fault`: why it cannot be used; `free_mib` of the file system under it.

    `keyless`: it is encrypted, and its key is not here. `key`, where it was asked for.
    """

    id: str
    fault: str = ""
    free_mib: int = 0
    keyless: bool = False
    key: bytes = b""


class SnapshotFound(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`size` in bytes on the disk; of a copy that shares blocks with its volume: as if it shared none.

    `sha256` of one that is a sealed file.
    """

    id: str
    size: int = 0
    sha256: str = ""


class VolumeFound(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`generation` counts the times that it was sealed, `sha256` and `size` are of the sealed file.

    `used` is its content in bytes; `uses` the attempts that have it open, `writers` those of them that write.
    `unsealed`: those that may have written what the sealed file does not have; `sealed_fill`: the `filled` of
    what it has. `packs`: snapshots that lie here as sealed files for others, beside the folders.
    `damaged`: its sealed file is not what was sealed, and is used no more; `broken`: snapshots likewise.
    """

    id: str
    generation: int = 0
    sha256: str = ""
    size: int = 0
    used: int = 0
    filled: int = 0  # the number of the newest `CopyOf` that was obeyed
    ready: bool = False
    fault: str = ""
    uses: tuple[AttemptRef, ...] = ()
    writers: tuple[AttemptRef, ...] = ()
    snapshots: tuple[SnapshotFound, ...] = ()
    unsealed: tuple[AttemptRef, ...] = ()
    sealed_fill: int = 0
    packs: tuple[SnapshotFound, ...] = ()
    damaged: bool = False
    broken: tuple[str, ...] = ()


class VolumesFound(Struct, kw_only=True, tag="volumes_found"):
    node: str
    epoch: int = 0
    pools: tuple[PoolFound, ...] = ()
    volumes: tuple[VolumeFound, ...] = ()
    backups: tuple[BackupFound, ...] = ()
    error: str | None = None
