"""Verbs about what is set and how well it stands."""

from __future__ import annotations

from tui.cli.parser import Parser, Verbs, verb

HEADING = "settings"

VERBS = {
    "config": ("tui.cli.config", "config"),
    "doctor": ("tui.cli.doctor", "doctor"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    config = verb(
        verbs, shared, "config", "what is set, and by which flag, variable or file", formats=("table", "json")
    )
    config.add_argument("action", choices=("list", "get", "explain", "path"), metavar="list|get|explain|path")
    config.add_argument("key", nargs="?", metavar="KEY")
    verb(
        verbs,
        shared,
        "doctor",
        "is this installation well, and what to do where not",
        formats=("table", "json"),
    )
