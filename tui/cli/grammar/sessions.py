"""Verbs that speak with what runs: its terminal, its ports."""

from __future__ import annotations

from tui.cli.options import add_detach_keys
from tui.cli.parser import Parser, Verbs, verb

HEADING = "be there"

VERBS = {
    "attach": ("tui.cli.attach", "attach"),
    "forward": ("tui.cli.forward", "forward"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    attach = verb(verbs, shared, "attach", "be at the terminal of a task that runs", formats=("table",))
    attach.add_argument("task", metavar="TASK")
    attach.add_argument("--read-only", action="store_true", help="look, and type nothing")
    add_detach_keys(attach)
    forward = verb(
        verbs, shared, "forward", "reach a port on which a task listens, from here", formats=("table",)
    )
    forward.add_argument("task", metavar="TASK")
    forward.add_argument("ports", nargs="+", metavar="[LOCAL:]PORT", help="LOCAL 0: any free port")
    forward.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="of this machine (default: %(default)s)"
    )
