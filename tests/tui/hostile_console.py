"""A console on a cluster whose every text tries to drive the terminal. Run on a pty by test_terminal."""

from __future__ import annotations

import sys
import time

from msgspec.structs import replace

from bus.values import Stream
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Session
from tui.theme.plain import encoding_is_unicode

ATTACKS = (
    "\x1b[?6661h",  # CSI: a private mode
    "\x1b[13;37;41m",  # CSI: colours
    "\x1b]52;c;ZXZpbA==\x07",  # OSC: the clipboard
    "\x1b]8;;http://evil.test\x1b\\",  # OSC: a link
    "\x1bP+q544e\x1b\\",  # DCS
    "\x1bc",  # a reset
    "\x9b31m",  # the same in C1
    "\x9d0;evil\x9c",
    "\x08\x08\x0e\x05",  # C0: backspace, character sets, answerback
    "\u202egnp.exe\u2066",  # bidirectional overrides
    "\u200b\u2028\ufeff",  # what cannot be seen
    "[@click=app.quit]x[/]",  # markup
)


def hostile() -> FakeCluster:
    """Every text that a stranger can choose holds every attack."""
    evil = "evil" + "".join(ATTACKS)
    world = World(seed=3, now_s=time.time(), nodes=5, jobs=8)
    world.jobs = [replace(job, name=evil, user=evil, reason=evil) for job in world.jobs]
    world.nodes = [replace(node, labels={evil: evil}, version=evil, reason=evil) for node in world.nodes]
    world.events = [replace(event, message=evil, kind=evil, user=evil) for event in world.events]
    tasks = world.tasks(8)
    tasks[:] = [replace(task, name=evil, message=evil, output={evil: evil}) for task in tasks]
    fake = FakeCluster(world)
    fake.output = {stream: (evil.encode() + b"\xff\xfe\n",) * 3 for stream in Stream}
    return fake


if __name__ == "__main__":
    console = Console(Session(hostile().connect), ascii_only=not encoding_is_unicode())
    console.run()
    sys.exit(console.return_code or 0)
