"""Every screen of the console as somebody may find it: the keys that lead there, and the words that show it.

A screen is recorded by a line here and `python -m tests.tui.record NAME`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Jobs
from bus.errors import Error
from bus.values import JobState, Role
from tests.tui.driving import HOSTILE
from tui.client.fake import FakeCluster

SIZES = ((80, 24), (120, 40), (200, 60))
SMALL = ((40, 10), (20, 5))
FORBIDDEN = Error(
    code="E_FORBIDDEN", message="readonly users may not look at this", status=403, hint="ask an operator"
)
BROKEN = Error(code="E_DB", message="the database is away", status=503, hint="corral status tells more")


class Scene(Struct, frozen=True, kw_only=True):
    """`keys` are pressed one after the other; then `words` stand on the screen at each size.

    `before` makes the cluster what it is; `after` happens to it in the end, `after_s` before one looks.
    """

    name: str
    keys: tuple[str, ...] = ()
    words: tuple[str, ...]
    before: Callable[[FakeCluster], None] | None = None
    after: Callable[[FakeCluster], None] | None = None
    after_s: float = 1.0
    sizes: tuple[tuple[int, int], ...] = SIZES
    ascii_only: bool = False
    colourless: bool = False


def _empty(fake: FakeCluster) -> None:
    fake.world.jobs.clear()


def _away(fake: FakeCluster) -> None:
    fake.reachable = False


def _silent(fake: FakeCluster) -> None:
    """It answers, but not for its jobs."""

    async def wait(**_: object) -> Jobs:
        await asyncio.Event().wait()
        raise AssertionError

    fake.jobs = wait  # type: ignore[method-assign]


def _broken(fake: FakeCluster) -> None:
    fake.refusals["jobs"] = BROKEN


def _forbidden(fake: FakeCluster) -> None:
    fake.refusals["events"] = FORBIDDEN


def _looking(fake: FakeCluster) -> None:
    fake.role = Role.READONLY


def _hostile(fake: FakeCluster) -> None:
    jobs = fake.world.jobs
    jobs[-1] = replace(jobs[-1], name=HOSTILE, user=HOSTILE, reason=HOSTILE, state=JobState.FAILED)
    jobs[-2] = replace(jobs[-2], name="สวัสดีชาวโลก 👩‍👩‍👧‍👦 数据处理", user="สมชาย")


def _line(words: str) -> tuple[str, ...]:
    """The command line with `words`."""
    return ("colon", *words, "enter")


SIX = "399.0 398.0 397.0 396.0 395.0 394.0"
SCENES = (
    Scene(name="pulse", words=("LIVE", "running")),
    Scene(name="nodes", keys=("2",), words=("n-0003",)),
    Scene(name="nodes-map", keys=("2", "v"), words=("LIVE",)),
    Scene(name="jobs", keys=("3",), words=("jobs", "STATE")),
    Scene(name="logs", keys=("4",), words=("No output is open here",)),
    Scene(name="logs-six", keys=_line(f"logs {SIX}"), words=("394.0",)),
    Scene(name="charts", keys=("5",), words=("charts",)),
    Scene(name="scheduler", keys=("6",), words=("scheduler",)),
    Scene(name="events", keys=("7",), words=("EVENT",)),
    Scene(name="storage", keys=("8",), words=("storage",)),
    Scene(name="gpus", keys=("8", "t", "t", "t", *"jjjjjjjjjj"), words=("quarantined", "XID 79")),
    Scene(name="disks", keys=("8", "t"), words=("FREE", "/scratch")),
    Scene(name="interfaces", keys=("8", "t", "t"), words=("NETWORK", "eth0")),
    Scene(name="gpu-release", keys=("8", "t", "t", "t", *"jjjjjjjjjj", "e"), words=("$ corral gpu release",)),
    Scene(name="pools", keys=("8", "p"), words=("archive",)),
    Scene(name="topologies", keys=("8", "o"), words=("lab", "guessed")),
    Scene(name="volumes", keys=("8", "v"), words=("patients",)),
    Scene(name="volume-create", keys=("8", "v", "c", *"models"), words=("Create a volume", "models")),
    Scene(name="volume-set", keys=("8", "v", "j", "e"), words=("Snapshots and backups of volume patients",)),
    Scene(name="pool-create", keys=("8", "p", "c", *"ssd"), words=("Create a pool", "ssd")),
    Scene(name="pool-remove", keys=("8", "p", "D"), words=("$ corral pool rm archive",)),
    Scene(name="volume-restore", keys=("8", "v", "j", "R"), words=("$ corral volume restore",)),
    Scene(name="tools", keys=("9",), words=("tools",)),
    Scene(name="tool", keys=_line("tool wordcount"), words=("corral tool call wordcount",)),
    Scene(name="tools-found", keys=("9", "slash", *"tag=render", "enter"), words=("blender", "render")),
    Scene(name="call", keys=("9", "c", *"shot", "tab", *"0"), words=("Call blender", "at least 1")),
    Scene(name="call-planned", keys=("9", "j", "c", *"a b"), words=("Call wordcount", "would start now")),
    Scene(name="users", keys=("0",), words=("users",)),
    Scene(name="tokens", keys=("0", "t"), words=("tokens",)),
    Scene(name="connections", keys=("0", "o"), words=("connections",)),
    Scene(name="tasks", keys=("3", "enter"), words=("› tasks", "400.0")),
    Scene(name="tasks-all", keys=_line("tasks all"), words=("all › tasks", "400.0")),
    Scene(name="gangs", keys=_line("gangs 346"), words=("› gangs", "346.3", "PROGRESS")),
    Scene(name="ranks", keys=_line("ranks 346.1"), words=("› ranks", "4 of 4 ranks running on 2 nodes")),
    Scene(name="ranks-waiting", keys=_line("ranks 353.0"), words=("› ranks", "have no place now: 0-3")),
    Scene(name="log", keys=_line("output 399.0"), words=("399.0",)),
    Scene(name="task", keys=_line("task 399.0"), words=("399.0",)),
    Scene(name="job", keys=_line("job 399"), words=("399",)),
    Scene(name="node", keys=_line("node n-0003"), words=("n-0003",)),
    Scene(
        name="node-abilities", keys=(*_line("node n-0003"), "shift+tab"), words=("container_gpus", "works")
    ),
    Scene(name="why-placed", keys=_line("why 399.0"), words=("why",)),
    Scene(name="why-waiting", keys=_line("why 400.0"), words=("why",)),
    Scene(name="whatif", keys=("2", "W"), words=("whatif",)),
    Scene(name="upcoming", keys=("6", "p"), words=("scheduler",)),
    Scene(name="gantt", keys=("2", "b"), words=("gantt",)),
    Scene(name="xray", keys=("x",), words=("xray",)),
    Scene(name="changes", keys=("ctrl+n",), words=("changes",)),
    Scene(name="gantt-job", keys=("3", "j", "b"), words=("gantt",)),
    Scene(name="spike", keys=_line("spike 14:00..14:10"), words=("spike",)),
    Scene(name="past-jobs", keys=("3", "comma"), words=("PAST",)),
    Scene(name="past-pulse", keys=("comma",), words=("PAST",)),
    Scene(name="past-scheduler", keys=("6", "comma"), words=("PAST",)),
    Scene(name="cancel", keys=("3", "C"), words=("$ corral cancel",)),
    Scene(name="drain", keys=("2", "r"), words=("$ corral drain",)),
    Scene(name="priority", keys=("3", "P"), words=("priority",)),
    Scene(name="submit", keys=("3", "S"), words=("submit",)),
    Scene(name="help", keys=("3", "question_mark"), words=("here",)),
    Scene(name="palette", keys=("ctrl+p", *"nod"), words=("nodes",)),
    Scene(name="command", keys=("colon", *"no"), words=("nodes",)),
    Scene(name="time", keys=("ctrl+t", *"-2h"), words=("Which moment?",)),
    Scene(name="journal", keys=("3", "h", "y", "a"), words=("corral",)),
    Scene(name="filter-wrong", keys=("3", "slash", *"statt=x", "enter"), words=("statt",)),
    Scene(name="jobs-marked", keys=("3", "space", "j", "space"), words=("marked",)),
    Scene(name="jobs-copied", keys=("3", "Y"), words=("$ corral jobs",)),
    Scene(name="jobs-none", keys=("3",), words=("No jobs yet",), before=_empty),
    Scene(name="jobs-offline", keys=("3",), words=("STATE", "OFFLINE"), after=_away),
    Scene(name="jobs-loading", keys=("3",), words=("LIVE",), before=_silent),
    Scene(name="jobs-slow", keys=("3",), words=("STATE", "waiting"), after=_silent, after_s=8.0),
    Scene(name="jobs-error", keys=("3",), words=("E_DB",), before=_broken),
    Scene(name="jobs-error-later", keys=("3",), words=("E_DB", "STATE"), after=_broken, after_s=8.0),
    Scene(name="jobs-hostile", keys=("3",), words=("STATE", "สวัสดี"), before=_hostile),
    Scene(name="jobs-readonly", keys=("3",), words=("STATE", "(readonly)"), before=_looking),
    Scene(name="events-forbidden", keys=("7",), words=("E_FORBIDDEN",), before=_forbidden),
    Scene(name="jobs-small", keys=("3",), words=(), sizes=SMALL),
    Scene(name="jobs-ascii", keys=("3",), words=("STATE",), ascii_only=True),
    Scene(name="jobs-colourless", keys=("3",), words=("STATE",), colourless=True),
)
