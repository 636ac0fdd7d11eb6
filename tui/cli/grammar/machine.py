"""Verbs for the processes of this machine."""

from __future__ import annotations

import argparse

from tui.cli.parser import Parser, Verbs, verb

HEADING = "this machine"

VERBS = {
    "up": ("tui.up", "up"),
    "down": ("tui.up", "down"),
    "status": ("tui.status", "status"),
    "console": ("tui.up", "console"),
    "top": ("tui.up", "console"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    up = verb(
        verbs, shared, "up", "start Corral on this machine and open the console", formats=("table", "json")
    )
    up.add_argument("--detach", action="store_true", help="return as soon as it runs")
    up.add_argument("--no-console", action="store_true", help="say what runs instead of opening the console")
    up.add_argument("--agents", type=int, metavar="N", help="agents on this machine, sharing it (default: 1)")
    up.add_argument(
        "--nats", dest="url", metavar="URL", help="your own NATS server instead of one that Corral runs"
    )
    up.add_argument("--database", metavar="DSN", help="your own PostgreSQL, as the owner of the schema")
    up.add_argument(
        "--listen",
        metavar="ADDRESS[:PORT]",
        help="let other machines reach the bus there, over TLS; remembered (off: this machine only)",
    )
    up.add_argument(
        "--standby",
        action=argparse.BooleanOptionalAction,
        help="a second coordinator that takes over from one that dies or hangs; remembered",
    )
    verb(verbs, shared, "down", "stop what `corral up` started", formats=("table", "json"))
    verb(
        verbs,
        shared,
        "status",
        "the processes of this machine and the cluster they belong to",
        formats=("table", "json", "jsonl", "name"),
    )
    for name, about in (("console", "open the console (also: top)"), ("top", "open the console")):
        console = verb(verbs, shared, name, about, formats=("table",))
        console.add_argument("--demo", action="store_true", help="on a made-up cluster of 1,000 nodes")
