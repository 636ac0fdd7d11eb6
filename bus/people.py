"""Questions and answers about people: who there is, what each has used, and where that puts their work."""

from __future__ import annotations

from msgspec import Struct

from bus.requests import Empty, Request
from bus.values import Role


class UserList(Empty):
    """Everybody. `known`: the tag of the list as one has it; see Jobs."""

    known: str = ""


class UserShare(Request):
    """From now on `name` has so many shares of the cluster, 1 to 1,000,000, against those of the others."""

    name: str
    shares: int


class Standing(Struct, kw_only=True):
    """Somebody's fair share. `used` and `due` are parts (0 to 1) of what all who have jobs used and hold.

    A level is worth a step of priority: 0 who has used nothing, 8 who has used what is due, 15 at most.
    """

    shares: int = 1
    usage_s: float = 0.0  # seconds of the whole cluster; what is old counts less
    used: float = 0.0
    due: float = 0.0
    level: int = 0


class User(Struct, kw_only=True):
    name: str
    role: Role
    active: bool
    standing: Standing
    jobs: int = 0  # that are not over
    running: int = 0  # tasks of them
    queued: int = 0
    failed: int = 0  # jobs of theirs that failed in the last day
    seen_at: float | None = None  # when they last came in, submitted or steered; None: not on record


class Users(Struct, kw_only=True):
    """By name. Who is no operator sees only themselves."""

    users: list[User]
    tag: str = ""
    unchanged: bool = False
    unknown: list[str] = []  # of the past: what nobody keeps, and is told as it is now
