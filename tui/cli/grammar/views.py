"""Verbs that look."""

from __future__ import annotations

from tui.cli.parser import Parser, Verbs, verb

VERBS = {
    "jobs": ("tui.cli.jobs", "jobs"),
    "job": ("tui.cli.jobs", "job"),
    "tasks": ("tui.cli.jobs", "tasks"),
    "logs": ("tui.cli.logs", "logs"),
    "nodes": ("tui.cli.nodes", "nodes"),
    "node": ("tui.cli.nodes", "node"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    jobs = verb(verbs, shared, "jobs", "jobs, newest first")
    jobs.add_argument("--state", action="append", metavar="STATE", help="only these states")
    jobs.add_argument("--user", metavar="NAME", help="another user's (operators and admins)")
    jobs.add_argument("--limit", type=int, default=50, metavar="N")
    job = verb(verbs, shared, "job", "one job in full")
    job.add_argument("job", metavar="JOB")
    tasks = verb(verbs, shared, "tasks", "the tasks of a job, or one task in full")
    tasks.add_argument("target", metavar="JOB|TASK")
    tasks.add_argument("--state", action="append", metavar="STATE", help="only these states")
    tasks.add_argument("--limit", type=int, default=100, metavar="N")
    logs = verb(verbs, shared, "logs", "what a task printed")
    logs.add_argument("task", metavar="TASK")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the task ends")
    logs.add_argument("--stderr", action="store_true", help="its stderr instead of its stdout")
    logs.add_argument("--raw", action="store_true", help="byte for byte, on a terminal too")
    verb(verbs, shared, "nodes", "the cluster's nodes")
    node = verb(verbs, shared, "node", "one node in full")
    node.add_argument("node", metavar="NODE")
