"""Verbs about what is set and how well it stands."""

from __future__ import annotations

from tui.cli.parser import Parser, Verbs, verb

VERBS = {
    "config": ("tui.cli.config", "config"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    config = verb(verbs, shared, "config", "what is set, and by which flag, variable or file")
    config.add_argument("action", choices=("list", "get", "explain", "path"), metavar="list|get|explain|path")
    config.add_argument("key", nargs="?", metavar="KEY")
