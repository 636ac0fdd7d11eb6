"""The verb about who orders the tasks, and what it was learned from."""

from __future__ import annotations

from tui.cli.options import whole, words
from tui.cli.parser import Parser, Verbs, verb

HEADING = "scheduler"

VERBS = {"scheduler": ("tui.cli.scheduler", "scheduler")}
ACTIONS = ("status", "mode", "train", "replay", "export", "import", "diff")


def add(verbs: Verbs, shared: Parser) -> None:
    parser = verb(verbs, shared, "scheduler", "what orders the tasks, why that, and what was learned")
    parser.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        default="status",
        metavar="|".join(ACTIONS),
        help="status: who orders, on what evidence; mode off|shadow|on: whether a learned order acts; "
        "train: replay all orders and let act what passes; replay: only show; export [FILE], import FILE: "
        "what was learned; diff A B: two snapshots (by number, now) or files",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="off, shadow or on; FILE; A B")
    history = parser.add_mutually_exclusive_group()
    history.add_argument(
        "--from-history",
        action="store_true",
        help="on what this cluster ran (so it is unless --swf is given)",
    )
    history.add_argument("--swf", metavar="FILE", help="on a trace in the Standard Workload Format (or gzip)")
    parser.add_argument(
        "--seed",
        type=whole("--seed", least=0, most=1_000_000_000),
        default=1,
        metavar="N",
        help="of training and replay (1)",
    )
    parser.add_argument("--policy", type=words, metavar="NAMES", help="only these orders: fcfs, rollout …")
    parser.add_argument(
        "--snapshot",
        type=whole("--snapshot", least=1, most=1_000_000_000),
        metavar="N",
        help="export this one, as status numbers them (default: what is known now)",
    )
