"""Copies of content on other nodes: what agents and the coordinator say of them. Pure.

Content goes from agent to agent. Who wants some asks with `Fetch`; the coordinator judges whether it may,
finds a node that has it and opens a stream there (`OpenStream`, kind `blob.send`, for that one agent): the
stream is the permission. It sends the bytes of each blob from its offset, one behind the other, and ends.
"""

from __future__ import annotations

from msgspec import Struct

from bus.values import AttemptRef

SEND = "blob.send"
BLOBS_AT_ONCE = 64
"""Of one `Fetch`; each is an open file at both ends."""

HELD_AT_ONCE = 500


class Fetch(Struct, kw_only=True, tag="fetch"):
    """A node wants content: ordered by `CopyBlobs`, or of a checkpoint of the task of an `attempt` there.

    `blobs`: hash, and the byte from which on. `avoid`: nodes that did not give it.
    """

    node: str
    blobs: tuple[tuple[str, int], ...]
    attempt: AttemptRef | None = None
    avoid: tuple[str, ...] = ()


class FetchReply(Struct, kw_only=True, tag="fetch_ok"):
    """`holder` sends `blobs`, in this order; the others of what was asked are to be asked for again."""

    holder: str
    stream: str
    blobs: tuple[str, ...]


class HeldBlob(Struct, frozen=True, array_like=True):
    """`code` "": it is here, and its hash was seen to be right. E_HASH: it was damaged, or nobody gave a good
    one; E_NOT_FOUND: it is gone; E_SPACE: there is no room for it."""

    sha256: str
    size: int
    code: str = ""


class Held(Struct, kw_only=True, tag="held"):
    """What a node found of its content: a copy that it has made, a scrub. Repeated until it is answered."""

    node: str
    blobs: tuple[HeldBlob, ...]


class HeldReply(Struct, kw_only=True, tag="held_ok"):
    """After the commit, in the order of the blobs: whether the cluster counts on it there."""

    counted: tuple[bool, ...]


class CopyBlobs(Struct, kw_only=True, tag="copy_blobs"):
    """Fetch this content (hash, bytes) and keep it; `Held` says when it is there."""

    epoch: int
    blobs: tuple[tuple[str, int], ...]


class HaveBlobs(Struct, kw_only=True, tag="have_blobs"):
    """Asks which of this content is not there: after a start of the agent, and now and then."""

    epoch: int
    hashes: tuple[str, ...]


class LackedBlobs(Struct, kw_only=True, tag="lacked_blobs"):
    """Those of `HaveBlobs` that the node does not have."""

    node: str
    hashes: tuple[str, ...]
    error: str | None = None


class ScrubBlobs(Struct, kw_only=True, tag="scrub_blobs"):
    """Read everything again now, at the usual pace; `Held` tells what was found."""

    epoch: int
