"""Verbs for the processes of this machine."""

from __future__ import annotations

import argparse

from tui.cli.options import moment, whole, words
from tui.cli.parser import Parser, Verbs, verb

HEADING = "this machine"

VERBS = {
    "up": ("tui.up", "up"),
    "down": ("tui.up", "down"),
    "status": ("tui.status", "status"),
    "console": ("tui.up", "console"),
    "top": ("tui.up", "console"),
    "bench": ("tui.cli.bench", "bench"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    up = verb(
        verbs, shared, "up", "start Corral on this machine and open the console", formats=("table", "json")
    )
    up.add_argument("--detach", action="store_true", help="return as soon as it runs")
    up.add_argument("--no-console", action="store_true", help="say what runs instead of opening the console")
    up.add_argument("--agents", type=int, metavar="N", help="agents on this machine, sharing it (default: 1)")
    up.add_argument(
        "--can",
        action="append",
        metavar="CAPABILITY",
        help="until corral down, its agents can run the tools that ask for this: text_generation; repeatable",
    )
    up.add_argument(
        "--interface",
        action="append",
        metavar="NAME=TYPE",
        help="until corral down, what a network interface is for: eth1=data; nodes need it; repeatable",
    )
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
    up.add_argument(
        "--deterministic",
        action="store_const",
        const="on",
        help="until corral down the scheduler tries nothing out, and does not measure how far to look ahead",
    )
    verb(verbs, shared, "down", "stop what `corral up` started", formats=("table", "json"))
    status = verb(
        verbs,
        shared,
        "status",
        "the processes of this machine and the cluster they belong to",
        formats=("table", "json", "jsonl", "name"),
    )
    status.add_argument(
        "--at", type=moment("--at"), metavar="TIME", help="the cluster as it was then: 2h, 2026-11-22T10:00Z"
    )
    for name, about in (("console", "open the console (also: top)"), ("top", "open the console")):
        console = verb(verbs, shared, name, about, formats=("table",))
        console.add_argument("--demo", action="store_true", help="on a made-up cluster of 1,000 nodes")
    _add_bench(
        verb(
            verbs,
            shared,
            "bench",
            "judge schedulers on recorded workloads",
            formats=("table", "json", "jsonl"),
        )
    )


def _add_bench(bench: Parser) -> None:
    bench.add_argument("what", choices=("scheduler",), metavar="scheduler")
    trace = bench.add_mutually_exclusive_group(required=True)
    trace.add_argument(
        "--swf", nargs="+", metavar="FILE", help="orders, on traces in the Standard Workload Format (or gzip)"
    )
    trace.add_argument(
        "--openb",
        nargs=2,
        metavar=("NODES", "PODS"),
        help="placements, on a trace of GPUs: two CSV files (or gzip)",
    )
    trace.add_argument(
        "--results", nargs="+", metavar="FILE", help="run nothing: read what -o json or jsonl wrote before"
    )
    bench.add_argument("--plots", metavar="FOLDER", help="draw the results as well: SVG files, made there")
    bench.add_argument(
        "--backfill", action="store_true", help="start what ends before the reservation of who goes next"
    )
    bench.add_argument(
        "--policy",
        type=words,
        metavar="NAMES",
        help="only these: fcfs, sjf …, rollout …, dqn, learned, or best_fit, fgd …; else all static rules",
    )
    bench.add_argument("--starts", type=_starts, metavar="N,N…", help="where the windows begin, in jobs")
    for name, default, about in (
        ("--sequences", 10, "windows that are drawn where no --starts are given"),
        ("--length", 1024, "jobs of a window"),
        ("--seed", 1, "of the drawing; 1 is the published evaluation's"),
        ("--training-seed", 1, "of what learns"),
        ("--seeds", 10, "shuffles of the pods"),
    ):
        count = whole(name, least=1, most=1_000_000)
        bench.add_argument(name, type=count, default=default, metavar="N", help=f"{about} ({default})")


def _starts(text: str) -> list[int]:
    number = whole("--starts", least=0, most=1_000_000_000)
    return [number(word) for word in words(text)]
