"""What a job says of the container and the network of its tasks, and how that is written.

image       [REGISTRY[:PORT]/]NAME[:TAG][@sha256:DIGEST], or an archive, as oci-archive:/PATH
mount       /THERE[:/INSIDE][:ro]: a folder or file of the node, inside under the same path unless said
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

IMAGE_MAX = 500
MOUNTS_MAX = 32
PATH_MAX = 1024
IMAGE_EXPECTED = "NAME[:TAG][@sha256:…], as python:3.11 or registry:5000/team/app, or oci-archive:/PATH"
MOUNT_EXPECTED = "/FOLDER[:/INSIDE][:ro], absolute and without .."

_NAME = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_IMAGE = re.compile(
    rf"(?:{_HOST}/)?{_NAME}(?:/{_NAME})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
_ARCHIVE = re.compile(r"(?:oci|docker)-archive:(?P<path>/[A-Za-z0-9._/@-]+)")
_TRANSPORT = re.compile(r"(?:(?:oci|docker)-archive|dir|oci|docker-daemon|containers-storage|sif|tarball):")
"""Runtimes would take such a name with a tag for a place on the node."""

_PATH = re.compile(r"/[^:,\x00-\x1f\x7f]*")


class NetworkPolicy(StrEnum):
    """What of the network tasks have."""

    DEFAULT = (
        "default"  # as is usual on the node: its own network, or one of the container's where it has one
    )
    NONE = "none"  # nothing but a loopback of its own
    HOST = "host"  # the node's, from within a container as well


class PullPolicy(StrEnum):
    """When the image is fetched from its registry."""

    MISSING = "missing"  # where the node does not have it
    ALWAYS = "always"  # before each start
    NEVER = "never"  # the node must have it


class Mount(Struct, frozen=True, array_like=True):
    """A folder or file of the node that the container sees as `inside`."""

    source: str
    inside: str
    read_only: bool = False


class Container(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task's command runs in `image`. `read_only`: of the image's files none can be changed."""

    image: str
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    pull: PullPolicy = PullPolicy.MISSING


def is_image(text: str) -> bool:
    """Whether `text` can name an image: nothing of it is an option, a path that climbs, or a shell's."""
    if len(text) > IMAGE_MAX or not text.isascii():
        return False
    archive = _ARCHIVE.fullmatch(text)
    if archive is not None:
        return ".." not in archive["path"].split("/")
    return _IMAGE.fullmatch(text) is not None and _TRANSPORT.match(text) is None


def parse_mount(text: str) -> Mount:
    """Raises ValueError with what is wrong with it."""
    parts = text.split(":")
    read_only = len(parts) > 1 and parts[-1] in ("ro", "rw")
    if read_only:
        read_only = parts.pop() == "ro"
    if len(parts) not in (1, 2):
        raise ValueError("not a mount")
    for path in parts:
        if not _PATH.fullmatch(path) or ".." in path.split("/") or len(path) > PATH_MAX:
            raise ValueError("not a path that can be mounted")
    if parts[-1].strip("/") == "":
        raise ValueError("a mount cannot hide the whole image")
    return Mount(parts[0], parts[-1], read_only)
