"""The verb for gangs as trainings."""

from __future__ import annotations

from tui.cli.options import whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "distributed training"

VERBS = {"train": ("tui.cli.training", "train")}

LIMIT_MAX = 1_000


def add(verbs: Verbs, shared: Parser) -> None:
    forms = ("table", "json", "jsonl", "name")
    about = "gangs: how far they are (status), and their ranks one by one (ranks)"
    train = verb(verbs, shared, "train", about, formats=forms)
    train.add_argument("action", choices=("status", "ranks"), metavar="status|ranks")
    train.add_argument(
        "target", metavar="JOB|TASK", help="ranks: of one task, or a job that has a single one"
    )
    train.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX),
        default=100,
        metavar="N",
        help="status: so many gangs, by index (default: %(default)s)",
    )
