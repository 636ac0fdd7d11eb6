"""What ages in a command's answer are counted to: now, by the coordinator's clock."""

from __future__ import annotations

import time
from argparse import Namespace

from tui.client.clocks import Asked, cluster_now_s

FOR_SCRIPTS = frozenset({"json", "jsonl", "name"})
"""These forms have instants and no ages."""


async def now_s(corral: Asked, arguments: Namespace) -> float:
    """In seconds of the Unix epoch; nobody is asked for forms in which nothing is counted to it."""
    return time.time() if arguments.output in FOR_SCRIPTS else await cluster_now_s(corral)
