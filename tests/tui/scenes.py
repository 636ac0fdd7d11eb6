"""Every screen of the console as somebody may find it: the keys that lead there, and the words that show it.

A screen is recorded by a line here and `python -m tests.tui.record NAME`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Error
from bus.values import JobState, Role
from tests.tui.driving import HOSTILE
from tui.client.fake import FakeCluster

FORBIDDEN = Error(
    code="E_FORBIDDEN", message="readonly users may not look at this", status=403, hint="ask an operator"
)


class Scene(Struct, frozen=True, kw_only=True):
    """`keys` are pressed one after the other, each once the words beside it stand on the screen.

    `before` makes the cluster what it is; with `cut`, it is taken away in the end.
    """

    name: str
    keys: tuple[tuple[str, tuple[str, ...]], ...] = ()
    words: tuple[str, ...]
    before: Callable[[FakeCluster], None] | None = None
    cut: bool = False


def _empty(fake: FakeCluster) -> None:
    fake.world.jobs.clear()


def _forbidden(fake: FakeCluster) -> None:
    fake.refusals["events"] = FORBIDDEN


def _looking(fake: FakeCluster) -> None:
    fake.role = Role.READONLY


def _hostile(fake: FakeCluster) -> None:
    jobs = fake.world.jobs
    jobs[-1] = replace(jobs[-1], name=HOSTILE, user=HOSTILE, reason=HOSTILE, state=JobState.FAILED)
    jobs[-2] = replace(jobs[-2], name="สวัสดีชาวโลก 👩‍👩‍👧‍👦 数据处理", user="สมชาย")


UP = ("LIVE",)
JOBS = (("3", UP),)
SCENES = (
    Scene(name="nodes", keys=(("2", UP),), words=("n-0003",)),
    Scene(name="jobs", keys=JOBS, words=("jobs", "STATE")),
    Scene(name="jobs-none", keys=JOBS, words=("No jobs yet",), before=_empty),
    Scene(name="jobs-offline", keys=JOBS, words=("STATE",), cut=True),
    Scene(name="jobs-hostile", keys=JOBS, words=("STATE", "สวัสดี"), before=_hostile),
    Scene(name="jobs-readonly", keys=JOBS, words=("STATE", "(readonly)"), before=_looking),
    Scene(name="tasks", keys=(*JOBS, ("enter", ("STATE",))), words=("› tasks", "40.0")),
    Scene(name="cancel", keys=(*JOBS, ("C", ("STATE",))), words=("$ corral cancel",)),
    Scene(name="events", keys=(("7", UP),), words=("EVENT",)),
    Scene(name="events-forbidden", keys=(("7", UP),), words=("E_FORBIDDEN",), before=_forbidden),
)
