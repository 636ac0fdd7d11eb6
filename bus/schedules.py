"""Questions and answers about schedules: jobs that are submitted again and again, by a clock."""

from __future__ import annotations

from msgspec import Struct

from bus.operation import Operation
from bus.requests import Request
from bus.values import Role


class ScheduleList(Request):
    """`user`: only whose; "": one's own, of operators everybody's."""

    user: str = ""


class ScheduleQuery(Request):
    """`name`: of a schedule; `user`: whose, by default one's own."""

    name: str
    user: str = ""


class Schedule(Struct, kw_only=True):
    """Instants in seconds of the Unix epoch. `last_job` is the job of the newest firing; `last_error` says
    why the newest firing gave no job, `skipped` how many were left out as the job before still ran or time
    was missed. `next_at` is None while it is paused."""

    name: str
    user: str
    cron: str
    zone: str
    overlap: str
    paused: bool
    created_at: float
    next_at: float | None = None
    last_at: float | None = None
    last_job: int | None = None
    fired: int = 0
    skipped: int = 0
    last_error: str = ""


class Schedules(Struct, kw_only=True):
    schedules: list[Schedule]


SCHEDULE_OPERATIONS: dict[str, Operation] = {
    "schedule.list": Operation(ScheduleList, Schedules, Role.READONLY),
    "schedule.pause": Operation(ScheduleQuery, Schedule, Role.USER),
    "schedule.resume": Operation(ScheduleQuery, Schedule, Role.USER),
    "schedule.remove": Operation(ScheduleQuery, Schedule, Role.USER),
}
