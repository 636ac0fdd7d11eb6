"""The verb for GPUs by themselves."""

from __future__ import annotations

from tui.cli.parser import Parser, Verbs, verb

HEADING = "GPUs"

VERBS = {"gpu": ("tui.cli.gpus", "gpu")}

ACTIONS = ("ls", "list", "quarantine", "release")


def add(verbs: Verbs, shared: Parser) -> None:
    forms = ("table", "json", "jsonl", "name")
    gpu = verb(
        verbs, shared, "gpu", "the GPUs of the nodes: see them, take one out, release it", formats=forms
    )
    gpu.add_argument("action", choices=ACTIONS, metavar="ls|quarantine|release")
    gpu.add_argument("node", nargs="?", default="", metavar="NODE", help="of ls: only its GPUs")
    gpu.add_argument("gpu", nargs="?", metavar="INDEX", help="its place on the node, from 0, or its UUID")
    gpu.add_argument("--reason", default="", metavar="TEXT", help="shown to everybody who asks")
    gpu.add_argument("--quarantined", action="store_true", help="of ls: only those that are given to nobody")
