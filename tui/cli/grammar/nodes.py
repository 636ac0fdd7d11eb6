"""Verbs that say what nodes take."""

from __future__ import annotations

from tui.cli.options import add_where, seconds
from tui.cli.parser import Parser, Verbs, verb

HEADING = "nodes"

VERBS = {
    "cordon": ("tui.cli.steering", "cordon"),
    "drain": ("tui.cli.steering", "drain"),
    "maintenance": ("tui.cli.steering", "maintenance"),
    "undrain": ("tui.cli.steering", "undrain"),
    "uncordon": ("tui.cli.steering", "undrain"),
    "label": ("tui.cli.steering", "label"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    for name, text, aliases in (
        ("cordon", "let nodes take no new work; what they have stays", ()),
        ("drain", "empty nodes: no new work, and what they have ends or goes elsewhere", ()),
        ("maintenance", "drain nodes, and take them into maintenance once they are empty", ()),
        ("undrain", "let cordoned or drained nodes take work again", ("uncordon",)),
    ):
        parser = verb(verbs, shared, name, text, aliases=aliases)
        parser.add_argument("nodes", nargs="*", metavar="NODE")
        add_where(parser, example="label.rack=7")
        parser.add_argument("--reason", default="", metavar="TEXT", help="shown to everybody who asks")
        if name in ("drain", "maintenance"):
            parser.add_argument(
                "--deadline",
                type=seconds("--deadline"),
                metavar="TIME",
                help="what still runs after this long is queued again elsewhere: 90, 10m (default: never)",
            )
        if name == "drain":
            parser.add_argument(
                "--what-if",
                action="store_true",
                help="change nothing: say where each task would go, when, and who would wait for it",
            )
    label = verb(verbs, shared, "label", "give nodes labels, KEY=VALUE, or take them away again, KEY-")
    label.add_argument("words", nargs="+", metavar="NODE|KEY=VALUE|KEY-")
    add_where(label, example="kind=gpu")
