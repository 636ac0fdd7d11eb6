"""Content that a task finds as files before it starts: models, artifacts, files of its node or of a bucket.

A job says `models: ["resnet@1.0"]` and `files: {"data.csv": "corral://1042.7/data.csv"}`. The coordinator
looks up what that means when the job is submitted and keeps it (`Content`), so that a job means the same
content however late it runs. Pure.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

CONTENT, NODE_FILES, BUCKETS = "content", "node_files", "buckets"
"""What agents can that bring it: content of the cluster, files of their own machine, objects of buckets."""

FILES_VARIABLE = "CORRAL_FILES"
"""The folder in which a task finds its `files`."""

MODELS_FOLDER, FILES_FOLDER = "models", "files"

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TEXT_MAX = 2_048


class Scheme(StrEnum):
    """Where a pointer points to."""

    CORRAL = "corral"  # an artifact: JOB.TASK/NAME, @last.0/NAME, its id, its SHA-256, or NAME of one's own
    FILE = "file"  # a file of the node that runs the task, where that node's operator allows it
    S3 = "s3"  # BUCKET/KEY


class Pointer(Struct, frozen=True):
    """`path`: what stands behind `scheme://`; of a file the absolute path."""

    scheme: Scheme
    path: str

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        """Of `s3://`."""
        bucket, _, key = self.path.partition("/")
        return bucket, key


class Content(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a word of a job meant when it was submitted.

    `said`: that word. `sha256` and `size` are known of all that lies in the cluster; `url` says from where
    each node brings what does not. `nodes` had it then. `file`: its name, of a `model` in a `version`.
    """

    said: str
    sha256: str = ""
    size: int = 0
    url: str = ""
    file: str = ""
    model: str = ""
    version: str = ""
    nodes: tuple[str, ...] = ()


class KeptList(Struct, frozen=True):
    """What a pointer in a job's `for_each` meant when it was submitted: a list of so many items."""

    sha256: str
    items: int


def parse_pointer(text: str) -> Pointer:
    """Raises ValueError, which says what is expected."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        scheme, rest = Scheme.CORRAL, text
    if scheme not in list(Scheme):
        raise ValueError("corral://, s3:// or file://")
    if not rest or len(text) > _TEXT_MAX or not text.isprintable():
        raise ValueError(f"a pointer of at most {_TEXT_MAX:,} visible characters")
    pointer = Pointer(Scheme(scheme), rest)
    match pointer.scheme:
        case Scheme.CORRAL:
            return pointer
        case Scheme.FILE:
            parts = rest.split("/")[1:]
            if not rest.startswith("/") or any(part in ("", ".", "..") for part in parts):
                raise ValueError("file:// and an absolute path without . and .. in it")
            return pointer
        case Scheme.S3:
            bucket, key = pointer.bucket_and_key
            if BUCKET.fullmatch(bucket) is None or not key:
                raise ValueError("s3://BUCKET/KEY")
            return pointer
