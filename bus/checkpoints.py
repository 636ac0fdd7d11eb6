"""What tasks save to go on from: said by the nodes that have it, listed, chosen, removed. Pure.

A checkpoint is a step and files; its content lies on nodes by SHA-256, as that of artifacts does. Of a gang
one rank saves all of it (regular), or each rank a part (distributed): it is complete once the parts of all
ranks are there, and only a complete one is gone on from. `durable`: each file lies on as many nodes as the
job wants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from bus.requests import Request
from bus.values import AttemptRef

FILES_MAX = 2_000
"""Of what one rank saves at once: a message with all of them stays below 1 MiB."""

NAMES_BYTES_MAX = 400_000
"""Of all their names together, likewise."""

STEP_MAX = 2**53
METRICS_MAX = 100


class CheckpointKind(StrEnum):
    REGULAR = "regular"  # of one rank, while it ran
    DISTRIBUTED = "distributed"  # a part of each rank of a gang
    EMERGENCY = "emergency"  # saved when it was told to end
    FINAL = "final"  # the newest of a task that has completed


class SavedFile(Struct, frozen=True, array_like=True):
    """`name`: below CORRAL_CHECKPOINT_DIR."""

    name: str
    sha256: str
    size: int


class Saved(Struct, kw_only=True, tag="saved"):
    """What one attempt (of a gang: one rank) has saved, and its node keeps. Repeated until it is answered.

    `path`: the file or folder below CORRAL_CHECKPOINT_DIR. `shard`: a part of what all ranks save. `code` and
    `message` where it could not be taken: then there are no files.
    """

    node: str
    attempt: AttemptRef
    step: int
    path: str
    emergency: bool = False
    shard: bool = False
    metrics: dict[str, float] | None = None
    files: tuple[SavedFile, ...] = ()
    code: str = ""
    message: str = ""


class SavedReply(Struct, kw_only=True, tag="saved_ok"):
    """After the commit. `gone`: paths of the attempt whose checkpoints are not kept any longer."""

    id: str = ""
    complete: bool = False
    gone: tuple[str, ...] = ()
    code: str = ""
    message: str = ""


class ResumeAsked(Struct, kw_only=True, tag="resume"):
    """An agent asks from what an attempt goes on."""

    node: str
    attempt: AttemptRef


class ResumeReply(Struct, kw_only=True, tag="resume_ok"):
    """`id` empty: from nothing. `files`: those that this rank needs, each verified by its hash."""

    id: str = ""
    step: int = 0
    path: str = ""
    files: tuple[SavedFile, ...] = ()


class Checkpoint(Struct, kw_only=True):
    """`copies`: on how many nodes each of its files lies at least; durable with `replicas` beyond the first.

    `nodes` have some or all of it. `chosen`: the next attempt goes on from it rather than from the newest.
    `best`: by what the job keeps beside the newest.
    """

    id: str
    task: str
    attempt: int
    step: int
    kind: CheckpointKind
    path: str
    complete: bool
    size: int
    files: int
    digest: str
    ranks: int
    world_size: int
    replicas: int
    copies: int
    durable: bool
    chosen: bool
    at: float
    metrics: dict[str, float] = {}
    nodes: list[str] = []
    best: bool = False


class CheckpointFile(Struct, kw_only=True):
    rank: int
    name: str
    sha256: str
    size: int
    nodes: list[str]


class CheckpointDetails(Struct, kw_only=True):
    checkpoint: Checkpoint
    files: list[CheckpointFile]


class CheckpointList(Request, kw_only=True):
    """Newest first; of one job or task if it is named."""

    target: str = ""
    limit: int = 100  # 1 to 10,000
    cursor: str = ""  # the `next` of the page before


class Checkpoints(Struct, kw_only=True):
    checkpoints: list[Checkpoint]
    next: str = ""


class CheckpointQuery(Request, kw_only=True):
    """`checkpoint`: its id or the start of it, or `1042.7@1200`: of that task the newest with that step, or
    without a step the newest."""

    checkpoint: str


class CheckpointBest(Request, kw_only=True):
    """The complete checkpoint of a job or task with the least (`most`: the largest) value of a metric."""

    target: str
    metric: str
    most: bool = False


class CheckpointUse(Request, kw_only=True):
    """The next attempt of `task` goes on from `checkpoint`, one of its own."""

    task: str
    checkpoint: str


def digest(files: Iterable[tuple[int, SavedFile]]) -> str:
    """One hash for files with their ranks: of lines "<rank> <sha256> <size> <name>", in byte order.

    The database computes the same (`corral.checkpoint_digest`).
    """
    lines = sorted(f"{rank} {file.sha256} {file.size} {file.name}\n".encode() for rank, file in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()
