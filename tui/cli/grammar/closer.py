"""Verbs that show what screens of the console show: machines' equipment, timelines, trees, changes."""

from __future__ import annotations

from tui.cli.options import add_at, moment, whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "look closer"

VERBS = {
    "devices": ("tui.cli.equipment", "devices"),
    "nodelogs": ("tui.cli.node_log", "node_log"),
    "tools": ("tui.cli.equipment", "tools"),
    "timeline": ("tui.cli.timeline", "timeline"),
    "tree": ("tui.cli.tree", "tree"),
    "changes": ("tui.cli.past", "changes"),
    "spike": ("tui.cli.past", "spike"),
}

DOCUMENT = ("table", "json", "jsonl")


def add(verbs: Verbs, shared: Parser) -> None:
    forms = ("table", "json", "jsonl", "name")
    devices = verb(verbs, shared, "devices", "disks, network interfaces and GPUs of the nodes", formats=forms)
    devices.add_argument("--kind", choices=("disk", "interface", "gpu"), help="only these")
    devices.add_argument("--filter", default="", metavar="COND", help="of these nodes: 'label.rack=r01'")
    devices.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=10_000),
        default=500,
        metavar="N",
        help="at most so many (default: %(default)s)",
    )
    lines = verb(verbs, shared, "nodelogs", "what a node's agent complained of", formats=DOCUMENT)
    lines.add_argument("node", metavar="NODE")
    lines.add_argument("--errors", action="store_true", help="no warnings")
    lines.add_argument(
        "--since", type=moment("--since"), metavar="TIME", help="15m, 6h, 2026-11-22T10:00Z (default: all)"
    )
    lines.add_argument("--until", type=moment("--until"), metavar="TIME")
    lines.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=1_000),
        default=100,
        metavar="N",
        help="the newest N (default: %(default)s)",
    )
    verb(
        verbs,
        shared,
        "tools",
        "what tasks can have: tools, container runtimes, isolation, GPUs",
        formats=forms,
    )
    timeline = verb(verbs, shared, "timeline", "what ran where and when", formats=DOCUMENT)
    timeline.add_argument("nodes", nargs="*", metavar="NODE", help="none: all of them")
    timeline.add_argument("--filter", default="", metavar="COND", help="of these nodes: 'kind=gpu'")
    timeline.add_argument("--job", metavar="JOB", help="only what is of this job")
    _add_span(timeline, default="1h")
    timeline.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=10_000),
        default=2_000,
        metavar="N",
        help="at most so many attempts (default: %(default)s)",
    )
    tree = verb(
        verbs, shared, "tree", "people, their jobs and the tasks of these as a tree", formats=DOCUMENT
    )
    tree.add_argument("user", nargs="?", default="", metavar="USER", help="only this one's")
    tree.add_argument(
        "--tasks",
        type=whole("--tasks", least=0, most=1_000),
        default=10,
        metavar="N",
        help="so many tasks of each job (default: %(default)s)",
    )
    tree.add_argument("--all", action="store_true", help="jobs that are over, too")
    add_at(tree)
    changes = verb(verbs, shared, "changes", "what became different between two moments", formats=DOCUMENT)
    _add_span(changes, default="1h")
    spike = verb(
        verbs, shared, "spike", "what stands out in an interval, against the time before", formats=DOCUMENT
    )
    _add_span(spike, default="10m")


def _add_span(parser: Parser, *, default: str) -> None:
    parser.add_argument(
        "--since",
        type=moment("--since"),
        metavar="TIME",
        help=f"10m, yesterday, 2026-11-22T10:00Z (default: {default})",
    )
    parser.add_argument("--until", type=moment("--until"), metavar="TIME")
