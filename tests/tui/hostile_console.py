"""A console on a cluster whose every text tries to drive the terminal. Run on a pty by test_terminal.

With the word `long`, names and messages are a megabyte instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from bus.errors import Error
from bus.timeline import PlacedAttempt, Timeline, TimelineQuery
from bus.values import JobState, Resources, Stream
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Session
from tui.early_picture import encoding_is_unicode

ATTACKS = (
    "\x1b[?6661h",  # CSI: a private mode
    "\x1b[13;37;41m",  # CSI: colours
    "\x1b[6n\x1b[c\x1b[21t",  # CSI: questions, whose answers would be typed
    "\x1b]52;c;ZXZpbA==\x07",  # OSC: the clipboard
    "\x1b]8;;http://evil.test\x1b\\",  # OSC: a link
    "\x1b]0;evil\x07",  # OSC: the title
    "\x1bP+q544e\x1b\\",  # DCS
    "\x1b_Gevil\x1b\\",  # APC: pictures
    "\x1b^evil\x1b\\",  # PM
    "\x1bXevil\x1b\\",  # SOS
    "\x1bc",  # a reset
    "\x9b31m",  # the same in C1
    "\x9d0;evil\x9c",
    "\x90q\x9c\x9fx\x9c\x9ey\x9c\x98z\x9c\x84\x85\x8d",
    "\x08\x08\x0e\x0f\x05\x0c\x0b\x00",  # C0: backspace, character sets, answerback, feeds
    "\r\n\t",
    "\u202egnp.exe\u2066\u2069\u061c\u200e",  # bidirectional overrides
    "\u200b\u200d\u2028\u2029\ufeff\u00ad\u3164",  # what cannot be seen
    "a\ufe0fb\U000e0101\U000e0041",  # variation selectors, tags
    "[@click=app.quit]x[/]",  # markup
    "\x1b",  # an escape that has lost its sequence
)
LONG = "x" * 1_000_000
TEXTS = frozenset(
    {
        *("about", "address", "created_by", "description", "driver", "hint", "message", "model"),
        *("fault", "name", "names", "note", "notes", "owner", "path", "pool", "program", "reason", "tier"),
        *("remedy", "summary", "title", "unit", "user", "versions"),
    }
)
"""Fields of answers that a stranger may fill. What names nodes and tasks is checked where it comes in."""

ASKED = (
    "timeline",
    "devices",
    "tools",
    "tool",
    "registered_tools",
    "volumes",
    "pools",
    "topologies",
    "users",
    "tokens",
    "connections",
    "changes",
    "spike",
    "scheduler",
)
REFUSED = ("cancel", "submit", "plan", "resolve")


def poisoned(value: Any, evil: str, *, is_text: bool = False) -> Any:
    """An answer with `evil` wherever a text can be of anybody."""
    match value:
        case Enum():
            return value
        case str():
            return evil if is_text and value else value
        case list():
            return [poisoned(each, evil, is_text=is_text) for each in value]
        case Struct():
            changed = {
                field.name: poisoned(getattr(value, field.name), evil, is_text=field.name in TEXTS)
                for field in fields(value)
            }
            return replace(value, **changed)
        case _:
            return value


async def strange_tool(ask: Callable[..., Awaitable[Any]], evil: str, name: str) -> Any:
    """A tool whose schema is poisoned as well: keys, values, and what is said of them."""
    keys: dict[str, Any] = {evil: {"enum": [evil], "description": evil}, "a": {"description": evil}}
    schema = {"type": "object", "properties": keys, "required": [evil], "description": evil}
    return replace(await ask(name), input_schema=schema)


async def poisoning(ask: Callable[..., Awaitable[Any]], evil: str, *asked: Any, **narrowed: Any) -> Any:
    """The answer to a question, poisoned."""
    return poisoned(await ask(*asked, **narrowed), evil)


async def busy(
    ask: Callable[[TimelineQuery], Awaitable[Timeline]], node: str, query: TimelineQuery
) -> Timeline:
    """The lanes of nodes; the first has run something all the time, whatever the time is."""
    ran = PlacedAttempt(
        node=node,
        start=query.since,
        started_at=query.since,
        end=query.until,
        resources=Resources(1_000),
        task="8.0",
        job=8,
        name="train",
        user="ann",
        fence=1,
        state="completed",
        exit_code=0,
    )
    return replace(await ask(query), attempts=[ran])


def hostile(evil: str) -> FakeCluster:
    """Every text that a stranger can choose is `evil`."""
    world = World(seed=3, now_s=time.time(), nodes=5, jobs=8)
    world.jobs = [replace(job, name=evil, user=evil, reason=evil) for job in world.jobs]
    world.jobs[-1] = replace(world.jobs[-1], state=JobState.RUNNING, ended_at=None)  # it can be cancelled
    if evil is LONG:  # hundreds of megabytes are no answer: to make one took longer than to show it
        del world.events[:-8]
    world.nodes = [replace(node, labels={evil: evil}, version=evil, reason=evil) for node in world.nodes]
    world.events = [replace(event, message=evil, kind=evil, user=evil) for event in world.events]
    world.events[-1] = replace(world.events[-1], kind="scheduler_mode")  # one that its screen asks for
    tasks = world.tasks(8)
    tasks[:] = [replace(task, name=evil, message=evil, output={evil: evil}) for task in tasks]
    fake = FakeCluster(world)
    fake.output = {stream: (evil.encode() + b"\xff\xfe\n",) * 3 for stream in Stream}
    fake.timeline = partial(busy, fake.timeline, world.nodes[0].name)  # type: ignore[method-assign]
    for question in ASKED:
        setattr(fake, question, partial(poisoning, getattr(fake, question), evil))
    fake.tool = partial(strange_tool, fake.tool, evil)  # type: ignore[method-assign]
    refusal = Error(
        code="E_CONFLICT", message=evil, field=evil, got=evil, expected=evil, hint=evil, status=409
    )
    fake.refusals = dict.fromkeys(REFUSED, refusal)
    return fake


if __name__ == "__main__":
    evil = LONG if "long" in sys.argv else "evil" + "".join(ATTACKS)
    console = Console(Session(hostile(evil).connect), ascii_only=not encoding_is_unicode())
    console.run()
    sys.exit(console.return_code or 0)
