"""A task that was started, as the keeper knows it."""

from __future__ import annotations

import signal

from agent.guard.wire import Body, Item, Start


class Running:
    """A task that was started. `cause` is set once we have begun to end it.

    `timeout_at` is when its walltime ends; None without one, and while it is paused, when `left_s` keeps
    what remains of it. `status`: of its client, where a container is still to go.
    """

    __slots__ = (
        "body",
        "cause",
        "cpu_s",
        "item",
        "left_s",
        "paused",
        "start",
        "status",
        "timeout_at",
        "used_mib",
    )

    def __init__(self, item: Item, body: Body, start: Start) -> None:
        self.item = item
        self.body = body
        self.start = start
        self.cause = ""
        self.paused = False
        self.timeout_at: float | None = None
        self.left_s: float | None = None
        self.status: int | None = None
        self.cpu_s = 0.0
        self.used_mib = 0.0

    @property
    def pid(self) -> int:
        return self.start.pid


def asking(task: Running) -> tuple[signal.Signals, ...]:
    """The signals that ask it to end. A shell at a terminal heeds no TERM: it hears that that is gone."""
    told = (signal.SIGTERM, signal.SIGCONT)
    return (signal.SIGHUP, *told) if task.body.pty else told
