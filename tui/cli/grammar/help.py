"""Verbs about the command itself."""

from __future__ import annotations

from tui.cli.parser import TOPICS, Parser, Verbs, verb

SHELLS = ("bash", "zsh", "fish")

HEADING = "help"

VERBS = {
    "help": ("tui.cli.help", "help"),
    "man": ("tui.cli.help", "man"),
    "completion": ("tui.cli.help", "completion"),
    "schema": ("tui.cli.schema", "schema"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    """These verbs ask no cluster: they take no options of where it is."""
    help = verb(verbs, None, "help", "explain a verb, an error code or a topic", formats=("table",))
    help.add_argument("subject", nargs="?", metavar="VERB|E_CODE|TOPIC", help=f"topics: {', '.join(TOPICS)}")
    man = verb(verbs, None, "man", "the manual pages", formats=("table",))
    man.add_argument(
        "folder", nargs="?", metavar="DIR", help="write all pages below it; else the main one to stdout"
    )
    man.add_argument("--markdown", action="store_true", help="the reference as one Markdown document")
    completion = verb(
        verbs, None, "completion", "a script that completes corral's words in a shell", formats=("table",)
    )
    completion.add_argument("shell", choices=SHELLS)
    text = "the states of tasks and nodes, and which may follow which"
    schema = verb(verbs, None, "schema", text, formats=("table", "json", "mermaid"))
    schema.add_argument("what", choices=("states",))
