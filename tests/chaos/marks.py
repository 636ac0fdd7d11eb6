"""What tasks leave on disk: a line at each attempt's start, each 0.2 s of its life, and its end.

A line is one write to a file opened for appending, stamped with CLOCK_BOOTTIME (which /proc/uptime is), so
that the lines of two attempts of one task can be put in order whatever nodes they ran on. Nothing but the
task itself writes here: this is what really ran, whatever anybody's books say.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

BEAT_S = 0.2

# $1 beats to live, $2 below which attempt it fails, $3 exit code otherwise
SCRIPT = """
say() {
    read -r up _ < /proc/uptime
    echo "$1 $CORRAL_ATTEMPT $$ $up $CORRAL_NODE" >> "$MARKS/$CORRAL_TASK_ID"
}
say start
left=$1
while [ "$left" -gt 0 ]; do
    sleep 0.2
    say beat
    left=$((left - 1))
done
if [ "$CORRAL_ATTEMPT" -lt "$2" ]; then
    say fail
    exit 9
fi
say end
exit "$3"
"""


def command(*, lives_s: float, fails_below: int = 1, exit_code: int = 0) -> list[str]:
    """What such a task runs."""
    return ["sh", "-c", SCRIPT, "task", str(round(lives_s / BEAT_S)), str(fails_below), str(exit_code)]


class Life(Struct, frozen=True, kw_only=True):
    """One attempt as its marks tell it: seen alive from `first_s` to `last_s`, of CLOCK_BOOTTIME."""

    task: str
    fence: int
    pid: int
    node: str
    first_s: float
    last_s: float
    ended: bool  # it came to its own end, and well


def read(folder: Path) -> list[Life]:
    """Every attempt that ever began."""
    lives: list[Life] = []
    for path in sorted(folder.iterdir()):
        lives += parse(path.name, path.read_text().splitlines())
    return lives


def parse(task: str, lines: Iterable[str]) -> list[Life]:
    """The attempts of one task; two processes of one fence are two lives."""
    found: dict[tuple[int, int, str], Life] = {}
    for line in lines:
        word, fence, pid, at, node = line.split()
        key, at_s = (int(fence), int(pid), node), float(at)
        before = found.get(key)
        found[key] = Life(
            task=task,
            fence=int(fence),
            pid=int(pid),
            node=node,
            first_s=min(at_s, before.first_s) if before else at_s,
            last_s=max(at_s, before.last_s) if before else at_s,
            ended=word == "end" or bool(before and before.ended),
        )
    return list(found.values())
