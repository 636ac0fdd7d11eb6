"""Verbs that look."""

from __future__ import annotations

from tui.cli.options import CONTEXT_MAX, LIMIT_MAX, add_at, moment, seconds, whole, words
from tui.cli.parser import Parser, Verbs, verb

HEADING = "look"

VERBS = {
    "jobs": ("tui.cli.jobs", "jobs"),
    "job": ("tui.cli.jobs", "job"),
    "tasks": ("tui.cli.jobs", "tasks"),
    "task": ("tui.cli.jobs", "task"),
    "ps": ("tui.cli.jobs", "ps"),
    "logs": ("tui.cli.logs", "logs"),
    "why": ("tui.cli.explain", "why"),
    "events": ("tui.cli.events", "events"),
    "resolve": ("tui.cli.steering", "resolve"),
    "audit": ("tui.cli.audit", "audit"),
    "metrics": ("tui.cli.metrics", "metrics"),
    "nodes": ("tui.cli.nodes", "nodes"),
    "node": ("tui.cli.nodes", "node"),
    "verify": ("tui.cli.verify", "verify"),
    "gc": ("tui.cli.retention", "gc"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    jobs = verb(verbs, shared, "jobs", "jobs, newest first")
    jobs.add_argument("--state", action="append", metavar="STATE", help="only these states: failed,cancelled")
    jobs.add_argument("--user", metavar="NAME", help="another user's (operators and admins)")
    add_list_options(jobs, limit=50)
    add_at(jobs)
    job = verb(verbs, shared, "job", "jobs in full")
    job.add_argument("jobs", nargs="+", metavar="JOB")
    add_at(job)
    tasks = verb(verbs, shared, "tasks", "the tasks of a job, or of all jobs; or one task in full")
    tasks.add_argument("target", nargs="?", metavar="JOB|TASK", help="default: all jobs, newest first")
    tasks.add_argument("--state", action="append", metavar="STATE", help="only these states: failed,timeout")
    add_list_options(tasks, limit=100)
    add_at(tasks)
    ps = verb(verbs, shared, "ps", "the tasks that run, those first that run longest")
    ps.add_argument("--user", metavar="NAME", help="only those of this user")
    add_list_options(ps, limit=100)
    task = verb(verbs, shared, "task", "tasks in full, with their attempts")
    task.add_argument("tasks", nargs="+", metavar="TASK")
    add_at(task)
    _add_logs(verb(verbs, shared, "logs", "what tasks printed", formats=("table", "json", "jsonl")))
    why = verb(verbs, shared, "why", "why tasks do not start, or are where they are")
    why.add_argument("targets", nargs="+", metavar="JOB|TASK")
    add_at(why)
    _add_events(verb(verbs, shared, "events", "what happened, newest first"))
    resolve = verb(verbs, shared, "resolve", "say that events are dealt with (corral events resolve ID)")
    resolve.add_argument("events", nargs="+", metavar="EVENT")
    resolve.add_argument("--note", default="", metavar="TEXT", help="what was done about it")
    audit = verb(verbs, shared, "audit", "who did what, newest first; or the one entry of an id")
    audit.add_argument(
        "id", nargs="?", default="", metavar="ID", help="as the answer of what was done told it"
    )
    add_list_options(audit, limit=50)
    nodes = verb(verbs, shared, "nodes", "the cluster's nodes")
    add_list_options(nodes, limit=1000)
    add_at(nodes)
    _add_metrics(verb(verbs, shared, "metrics", "what nodes, tasks or the cluster used over time"))
    node = verb(verbs, shared, "node", "nodes in full")
    node.add_argument("nodes", nargs="+", metavar="NODE")
    add_at(node)
    verb(
        verbs,
        shared,
        "verify",
        "whether database, memory and nodes agree; exit 1 where a promise is broken",
        formats=("table", "json", "jsonl", "name"),
    )
    gc = verb(
        verbs,
        shared,
        "gc",
        "move jobs that ended long ago into the archive now; the coordinator does so by itself as well",
        formats=("table", "json", "jsonl", "name"),
    )
    gc.add_argument("--dry-run", action="store_true", help="only say how many there are")
    gc.add_argument(
        "--older-than",
        type=seconds("--older-than"),
        metavar="TIME",
        help="ended so long ago, however they ended: 30d, 12h (default: the settings jobs.keep_…)",
    )


def _add_logs(logs: Parser) -> None:
    logs.add_argument(
        "tasks",
        nargs="+",
        metavar="TASK",
        help="1042.7, a rank of it (1042.7:3) or an attempt (1042.7#2); with --rows also jobs",
    )
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the task ends")
    logs.add_argument("--stderr", action="store_true", help="its stderr instead of its stdout")
    logs.add_argument("--both", action="store_true", help="both by their times; lines of stderr begin with !")
    logs.add_argument(
        "--attempt",
        type=whole("--attempt", least=1, most=999_999_999),
        metavar="N",
        help="of an earlier attempt; 1042.7#2 says the same",
    )
    logs.add_argument(
        "--tail", type=whole("--tail", least=0, most=1_000_000), metavar="N", help="the last N lines"
    )
    logs.add_argument(
        "--grep",
        metavar="WORDS",
        help="only lines with these words, in any case; * for anything between them",
    )
    logs.add_argument(
        "--context",
        type=whole("--context", least=0, most=CONTEXT_MAX),
        default=0,
        metavar="N",
        help="with --grep: so many lines around each",
    )
    logs.add_argument(
        "-t", "--timestamps", action="store_true", help="when each line was there; - where nobody knows"
    )
    logs.add_argument(
        "--since",
        type=moment("--since"),
        metavar="TIME",
        help="lines that came since: 10m, 2026-11-22T10:00Z",
    )
    logs.add_argument("--until", type=moment("--until"), metavar="TIME", help="lines that came until then")
    logs.add_argument(
        "--at", type=moment("--at"), metavar="TIME", help="as far as it had come then, of the attempt of then"
    )
    logs.add_argument(
        "--rows",
        action="store_true",
        help="what tasks logged by CORRAL_RESULT instead, of jobs that are gone too",
    )
    logs.add_argument(
        "--level", choices=("info", "warning", "error"), help="with --rows: only these, and what is worse"
    )
    logs.add_argument("--raw", action="store_true", help="byte for byte, on a terminal too")


def _add_metrics(metrics: Parser) -> None:
    metrics.add_argument(
        "things",
        nargs="*",
        metavar="NODE|GPU|TASK",
        help="nodes, GPUs (n1:0), tasks, ranks (1042.0:3); none: the cluster",
    )
    metrics.add_argument(
        "--metric",
        type=words,
        default=[],
        metavar="A,B",
        help="cpu, memory, network, gpu, disk, temperature …; of the cluster cpu, tasks, wait, throughput …",
    )
    metrics.add_argument(
        "--name",
        type=words,
        metavar="A,B",
        help="metrics that the task itself tells, such as loss; * for all of them",
    )
    metrics.add_argument(
        "--since", type=moment("--since"), metavar="TIME", help="15m, 6h, 2026-11-22T10:00Z (default: 1h)"
    )
    metrics.add_argument("--until", type=moment("--until"), metavar="TIME")
    metrics.add_argument(
        "--points",
        type=whole("--points", least=1, most=2_000),
        default=240,
        metavar="N",
        help="about so many buckets of time (default: %(default)s)",
    )
    metrics.add_argument(
        "--aggregate",
        choices=("auto", "mean", "max", "min", "p95", "rate"),
        default="auto",
        help="what a bucket says of its samples (default: mean, and the rate of counts)",
    )


def _add_events(events: Parser) -> None:
    events.add_argument("target", nargs="?", metavar="JOB|TASK", help="only what concerns it")
    events.add_argument("--node", metavar="NODE", help="only what concerns this node")
    events.add_argument(
        "--since", type=moment("--since"), metavar="TIME", help="10m, yesterday, 2026-11-22T10:00Z"
    )
    events.add_argument("--until", type=moment("--until"), metavar="TIME")
    events.add_argument("-f", "--follow", action="store_true", help="go on with what happens; oldest first")
    add_list_options(events, limit=50)


def add_list_options(parser: Parser, *, limit: int) -> None:
    """What every list takes."""
    group = parser.add_argument_group("the list")
    group.add_argument(
        "--filter", default="", metavar="COND", help="'state=failed age>1h' (corral help filter)"
    )
    group.add_argument("--sort", default="", metavar="FIELD", help="by this field; -FIELD descending")
    group.add_argument(
        "--columns", type=words, metavar="A,B", help="these columns, in this order (corral help columns)"
    )
    group.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX, hint="--all shows everything"),
        default=limit,
        metavar="N",
        help="at most so many (default: %(default)s)",
    )
    group.add_argument("--cursor", default="", metavar="CURSOR", help="go on where a list was cut")
    group.add_argument("--all", action="store_true", help="everything, page after page")
