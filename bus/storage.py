"""What JetStream keeps: the streams on disk and the KV buckets in memory.

Streams hold what must wait for an absent coordinator; buckets are caches and may vanish at any time.
`SHARED` buckets hold nothing of any one user, so every role may read them; `OWNED` ones are keyed
`<user>.<id>` and a user reads only below their own name; the rest is for operators.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bus.subjects import SUBMISSIONS_ALL


class Bucket(StrEnum):
    HEARTBEATS = "corral_heartbeats"
    CLUSTER = "corral_cluster"
    METRICS = "corral_metrics"
    LOCKS = "corral_locks"
    JOBS = "corral_jobs"
    QUEUE = "corral_queue"
    SESSIONS = "corral_sessions"


class BucketSpec(Struct, frozen=True):
    """`ttl_s`: how long a value lives without being put again (None: until deleted)."""

    ttl_s: int | None
    holds: str


BUCKETS: dict[Bucket, BucketSpec] = {
    Bucket.HEARTBEATS: BucketSpec(30, "last heartbeat per node"),
    Bucket.CLUSTER: BucketSpec(None, "cluster summary, under `state`"),
    Bucket.METRICS: BucketSpec(300, "newest metric values, under `<node>.<type>`"),
    Bucket.LOCKS: BucketSpec(60, "what is held of each resource, and who leads"),
    Bucket.JOBS: BucketSpec(None, "state per live job, under `<user>.<number>`"),
    Bucket.QUEUE: BucketSpec(None, "the waiting line, the newest placements"),
    Bucket.SESSIONS: BucketSpec(86_400, "logins and admitted machines, by the hashes of their keys"),
}

SHARED = (Bucket.HEARTBEATS, Bucket.CLUSTER, Bucket.METRICS)
OWNED = (Bucket.JOBS,)
PRIVATE = (Bucket.SESSIONS,)
"""For the coordinator alone."""


DELETED = {"KV-Operation": "DEL", "Nats-TTL": "60s"}
"""The headers of a deletion: watchers see the marker, which goes by itself (servers before 2.11 keep it)."""


class StreamSpec(Struct, frozen=True):
    """`limit_bytes` bounds the disk; what does not fit is refused, so nothing acknowledged is dropped."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool
    limit_bytes: int
    max_age_s: int | None
    holds: str


SUBMISSIONS = StreamSpec(
    "CORRAL_SUBMISSIONS", (SUBMISSIONS_ALL,), True, 1 << 30, None, "submissions until they are committed"
)
DEAD_LETTERS = StreamSpec(
    "CORRAL_DEAD_LETTERS", ("corral.dead.*",), False, 256 << 20, 30 * 86_400, "rejected submissions"
)
STREAMS = (SUBMISSIONS, DEAD_LETTERS)

SUBMISSIONS_CONSUMER = "coordinator"

DEDUPE_WINDOW_S = 0.1
"""How long JetStream itself drops a repeated Nats-Msg-Id: as short as it can be. The ids of all users share
one window, so a longer one would let a user swallow another's submission; PostgreSQL drops them per user."""


def key_subject(bucket: Bucket | str, key: str) -> str:
    """The subject that carries a bucket's key."""
    return f"$KV.{bucket}.{key}"


def stream_of(bucket: Bucket | str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"
