"""What clients may ask of the coordinator; `bus.api.OPERATIONS` says under which name, and what comes back.

Requests are strict: an unknown field is refused, with the nearest name.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bus.spec import JobSpec
from bus.values import JobState, Role, Stream, TaskState


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


class JobQuery(Request):
    """`job`: number, id or unique prefix of the id (8 characters and more), or "@last"."""

    job: str


class Page(Request, kw_only=True):
    """What every list takes.

    `filter` is a condition of `bus.filter` ("state=failed user~ann age>1h"); `sort` a field, "-" in front
    for descending ("" is the list's own order); `cursor` the `next` of the page before, with the same filter
    and sort.
    """

    filter: str = ""
    sort: str = ""
    limit: int = 100  # 1 to 10,000
    cursor: str = ""


class JobList(Page, kw_only=True):
    """Newest first unless sorted. `known`: the tag of the page as one has it; see Jobs."""

    states: list[JobState] = []
    user: str | None = None  # operators and admins may name another; None: all one may see
    known: str = ""


class TaskQuery(Request):
    """`task`: "1042.7"; a job with a single task may be named by its number alone. "1042.7:3" is a rank:
    what that told, its attempts and its newest lines."""

    task: str


class TaskList(Page, kw_only=True):
    """Tasks of a job by index unless sorted; ranges of an array never touched come as one row.

    `job` "": those of all jobs that the asker may see, newest job first. `known`: as in JobList.
    """

    job: str = ""
    states: list[TaskState] = []
    known: str = ""


class NodeList(Page, kw_only=True):
    """By name unless sorted. `known`: as in JobList."""

    known: str = ""


class EventList(Page, kw_only=True):
    """What happened, newest first: changes of jobs, tasks and nodes, and what the system noticed.

    `job` ("1042") or `task` ("1042.7") or `node` narrow it;
    `since` and `until` are seconds of the Unix epoch. `known`: as in JobList.
    """

    job: str | None = None
    task: str | None = None
    node: str | None = None
    since: float | None = None
    until: float | None = None
    known: str = ""


class Cancel(Request):
    """`target`: a job ("1042") or a task ("1042.7")."""

    target: str


class Retry(Request):
    """Queue again what failed or ran out of time: of a job ("1042"), or one task ("1042.7")."""

    target: str


class Hold(Request):
    """Keep the waiting tasks of `job` from being placed, until released; what runs goes on."""

    job: str


class Pause(Request):
    """Let what runs of `job` stand still where it is and place nothing more of it, until resumed."""

    job: str


class Requeue(Request):
    """End what runs of a job ("1042") or one task ("1042.7") and queue it again, charged to nobody."""

    target: str


class NodeSteer(Request):
    """A change of what a node takes; `reason` is shown to everybody who asks.

    `deadline_s`, of a drain or maintenance: what still runs there that many seconds from now is ended and
    queued again elsewhere; None lets it run to its end.
    """

    node: str
    reason: str = ""
    deadline_s: float | None = None


class WhyQuery(Request):
    """`target`: a task ("1042.7"); a job ("1042") answers for its first task that waits, else its newest."""

    target: str


class WhatIf(Request):
    """What would become of what waits if `add` nodes came, which are empty and like `like`, if nodes drained,
    if `order` were in force (a static rule or the name of a learned one; "": as it is), if `job` were
    submitted.

    `deadline_s`, of the drain: what still runs then is queued again elsewhere; None: never.
    """

    add: int = 0
    like: str = ""  # a node; "": the largest one
    drain: list[str] = []
    deadline_s: float | None = None
    order: str = ""
    job: JobSpec | None = None


class TokenCreate(Request):
    """`kind` "node": for `corral join`; "user": for `corral login` as `name`, made with `role` if new.

    Seconds of `ttl_s`: 60 to 30 days. Each token serves once.
    """

    kind: Literal["node", "user"]
    name: str | None = None  # the user; for a node, the only name it may join under
    role: Role = Role.USER
    ttl_s: float = 3600.0


class TokenQuery(Request):
    """`token`: its public id, as `token.list` shows it."""

    token: str


class KeyQuery(Request):
    """`key`: the public half of one of the asker's own keys."""

    key: str


class Admission(Request):
    """Asks on `corral.auth.*`, with a token, for a credential for `key`, the public half of one's own.

    `name`: of the node; None takes the one that the token is for, else `host`.
    """

    token: str
    secret: bytes
    key: str
    name: str | None = None
    host: str = ""


class Collect(Request):
    """Move jobs that are over into the archive: those older than `older_than_s`, whatever became of them.

    None: as long as the settings `jobs.keep_…` say, for each end its own. `dry_run`: only count them.
    """

    older_than_s: float | None = None  # 1 minute to 30 years
    dry_run: bool = False


class LogQuery(Request):
    """A piece of a task's output; `attempt` 0 means the newest."""

    task: str
    stream: Stream = Stream.STDOUT
    attempt: int = 0
    offset: int = 0
    limit: int = 262_144


class LogFollow(Request):
    """Asks the node to publish new output on the caller's log subject for 30 s; renew while reading."""

    task: str


class NodeQuery(Request):
    node: str


class Empty(Request):
    """Nothing to say."""
