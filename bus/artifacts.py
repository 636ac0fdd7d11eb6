"""Files that tasks and people leave: said by the nodes that keep them, listed, fetched, let go. Pure.

An artifact is a name for content. Content lies on nodes, by its SHA-256 (`corral://<sha256>`); a row exists
only once a node has all of it, verified. Bytes go over streams (`bus.streams`): `blob.get` with
`{"artifact", "offset"}` sends them from there; `blob.put` with `{"name", "size", "sha256"}` first answers 8
bytes, big-endian, from where to send, and at the end a line of JSON: the artifact.
"""

from __future__ import annotations

from msgspec import Struct

from bus.requests import Request
from bus.values import AttemptRef

GET, PUT = "blob.get", "blob.put"
OFFSET_BYTES = 8
SIZE_MAX = 2**46


class LeftFile(Struct, kw_only=True):
    """A file that a node has in its store: of an attempt, or of the upload that a person began.

    `code` and `message` where it could not be taken: then there is no content.
    """

    name: str
    attempt: AttemptRef | None = None
    upload: str = ""
    sha256: str = ""
    size: int = 0
    media_type: str = ""
    code: str = ""
    message: str = ""


class Kept(Struct, kw_only=True, tag="kept"):
    """Repeated until it is answered; the same file twice is one artifact."""

    node: str
    files: tuple[LeftFile, ...]


class KeptFile(Struct, frozen=True, array_like=True):
    """`id` of the artifact; or `code` of why there is none."""

    id: str = ""
    code: str = ""
    message: str = ""


class KeptReply(Struct, kw_only=True, tag="kept_ok"):
    """In the order of the files, after the commit."""

    files: tuple[KeptFile, ...]


class Artifact(Struct, kw_only=True):
    """`task` and `attempt` left it, or `user` brought it. `nodes` have its content."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    pointer: str
    user: str
    at: float
    task: str = ""
    attempt: int = 0
    nodes: list[str] = []


class ArtifactList(Request, kw_only=True):
    """Newest first; of one job or task if it is named."""

    target: str = ""
    limit: int = 100  # 1 to 10,000
    cursor: str = ""  # the `next` of the page before


class Artifacts(Struct, kw_only=True):
    artifacts: list[Artifact]
    next: str = ""


class ArtifactQuery(Request, kw_only=True):
    """`artifact`: its id, the start of it, or its newest name, of a task as `1042.7/plots/loss.png`."""

    artifact: str


class ArtifactCollect(Request, kw_only=True):
    """Let go of artifacts whose job is gone, and of content that nothing names."""

    dry_run: bool = False


class ArtifactsCollected(Struct, kw_only=True):
    """Content goes from nodes that answer; of the others `waiting` pieces go another time."""

    artifacts: int
    blobs: int
    bytes: int
    waiting: int = 0
