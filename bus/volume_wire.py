"""What the coordinator wants of a node's pools and volumes, and what the node has. Pure.

The coordinator says again and again how all should be; the node answers at once how it is, and works on the
rest. What is not named is left alone: only what is named as removed goes away.
"""

from __future__ import annotations

from msgspec import Struct

from bus.values import AttemptRef


class PoolWanted(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A pool. `key`: of an encrypted one, told once, when it is made; the node keeps it in a file."""

    id: str
    name: str
    type: str
    path: str
    compress: bool = False
    encrypt: bool = False
    size_mib: int = 0
    key: bytes = b""
    removed: bool = False

    @property
    def packs(self) -> bool:
        """Whether its volumes are one sealed file each while no task has them."""
        return self.compress or self.encrypt or self.type == "replicated"


class CopyOf(Struct, kw_only=True, frozen=True):
    """The content of a snapshot: of which volume, and the order's number, so that it is obeyed once."""

    volume: str
    snapshot: str
    number: int


class SnapshotKept(Struct, kw_only=True, frozen=True):
    """A snapshot that other nodes have: the hash of its sealed file, and the bytes of that."""

    id: str
    sha256: str
    size: int


class VolumeWanted(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`primary`: tasks write to it here. A replica has the content `sha256` of `generation`.

    `content`: what it is to be filled with. `snapshots` that should be taken, `dropped` ones that should not
    be there, `kept` ones to be brought where they are not. A primary that has a `sha256` and is not there was
    lost, and is brought as well. `filled` and `used` are of that content, see `VolumeFound`.
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


class VolumesWanted(Struct, kw_only=True, tag="volumes"):
    """See the module."""

    epoch: int
    pools: tuple[PoolWanted, ...] = ()
    volumes: tuple[VolumeWanted, ...] = ()


class PoolFound(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """`fault`: why it cannot be used; `free_mib` of the file system under it."""

    id: str
    fault: str = ""
    free_mib: int = 0


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
    what it has.
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


class VolumesFound(Struct, kw_only=True, tag="volumes_found"):
    node: str
    epoch: int = 0
    pools: tuple[PoolFound, ...] = ()
    volumes: tuple[VolumeFound, ...] = ()
    error: str | None = None
