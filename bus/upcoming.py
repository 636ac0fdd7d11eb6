"""What would start next of all that waits: when, and where."""

from __future__ import annotations

from msgspec import Struct

from bus.requests import Request

LIMIT_MAX = 500


class UpcomingQuery(Request):
    """The first `limit` of the line (1 to 500), as they would start if nothing more were done."""

    limit: int = 50


class Turn(Struct, kw_only=True):
    """`task` and `tasks` - 1 more of its job that wait with it, by the start of the first.

    `starts_at`: the middle, None: not as far as can be foreseen; between `earliest_at` and `latest_at` with
    the probability of `Upcoming.share`. `node`: where it started in most of the futures that were played.
    """

    task: str
    user: str
    tasks: int
    node: str | None = None
    starts_at: float | None = None
    earliest_at: float | None = None
    latest_at: float | None = None


class Upcoming(Struct, kw_only=True):
    """`order`: who orders the tasks. `tasks`: how many are in line; `hidden`: turns of others.

    `told` and `right`: of how many forecasts that came out so far how many were right.
    """

    order: str
    tasks: int
    turns: list[Turn]
    hidden: int = 0
    share: float = 0.8
    told: int = 0
    right: int = 0
