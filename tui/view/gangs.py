"""The ranks of a gang in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bus.units import counted

if TYPE_CHECKING:
    from bus.api import Task


def ranks_text(task: Task) -> str:
    """ "4 ranks: 3 running, 1 assigned"; of the newest try. "rank 3 of 4: running" where only it is shown."""
    newest = [each for each in task.attempts if each.fence == task.fence]
    if len(newest) == 1 and newest[0].rank:
        return f"rank {newest[0].rank} of {task.ranks}: {newest[0].state}"
    states = ", ".join(
        f"{number} {state}" for state, number in Counter(each.state for each in newest).most_common()
    )
    return f"{counted(task.ranks, 'rank')}{f': {states}' if states else ''}"
