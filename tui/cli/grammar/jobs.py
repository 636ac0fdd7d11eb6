"""Verbs that give the cluster work and steer it."""

from __future__ import annotations

from tui.cli.parser import Parser, Verbs, verb

VERBS = {
    "submit": ("tui.cli.submit", "submit"),
    "run": ("tui.cli.submit", "run"),
    "cancel": ("tui.cli.jobs", "cancel"),
    "wait": ("tui.cli.jobs", "wait"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    submit = verb(verbs, shared, "submit", "give the cluster a job")
    submit.add_argument("--file", metavar="FILE", help="job as JSON or TOML; - reads JSON from stdin")
    submit.add_argument("--tool", metavar="NAME", help="a tool instead of a command, such as wordcount")
    submit.add_argument(
        "--for-each", metavar="GLOB", action="append", help="one task for each file that matches"
    )
    submit.add_argument("--array", metavar="RANGE", help="one task an index: 0-99, 0-99%%10, 1,5,9-20:2")
    submit.add_argument("--retries", type=int, metavar="N", help="tries after a failure (default: 3)")
    submit.add_argument("--wait", action="store_true", help="until the job has ended; exit 1 if it failed")
    _add_job_options(submit)
    run = verb(verbs, shared, "run", "run one command: stream its output, exit with its code")
    run.add_argument("--raw", action="store_true", help="output byte for byte, on a terminal too")
    _add_job_options(run)
    cancel = verb(verbs, shared, "cancel", "end jobs or single tasks")
    cancel.add_argument("targets", nargs="+", metavar="JOB|TASK")
    wait = verb(verbs, shared, "wait", "until jobs have ended; exit 1 if one failed")
    wait.add_argument("jobs", nargs="+", metavar="JOB")
    wait.add_argument("--timeout", metavar="TIME", help="give up after this long (exit 75)")


def _add_job_options(parser: Parser) -> None:
    job = parser.add_argument_group("the job")
    job.add_argument("--name", metavar="TEXT")
    job.add_argument("--priority", type=int, metavar="1-10", help="10 goes first (default: 5)")
    job.add_argument("--env", action="append", metavar="NAME=VALUE")
    job.add_argument("--workdir", metavar="DIR")
    job.add_argument("--stdin", metavar="FILE", help="what the command reads; - passes this command's own")
    job.add_argument("--timeout", metavar="TIME", help="longest run of a task: 90, 1h30m, 1-02:00:00")
    job.add_argument("--grace", metavar="TIME", help="between TERM and KILL")
    job.add_argument("--idempotent", action="store_true", help="may run twice: a lost task restarts at once")
    job.add_argument("--dedupe-key", metavar="KEY", help="the same key gives the same job")
    needs = parser.add_argument_group("what a task needs")
    needs.add_argument("--cpu", metavar="CORES", help="2, 0.5, 500m (default: 1)")
    needs.add_argument("--memory", metavar="SIZE", help="4GiB, 512M (default: 64M)")
    needs.add_argument("--gpu", type=int, metavar="N")
    needs.add_argument("--storage", metavar="SIZE")
    needs.add_argument("--net", metavar="RATE", help="100Mbit, 1Gbit")
    needs.add_argument(
        "--label", action="append", metavar="NAME=VALUE", help="label that the node must carry"
    )
    needs.add_argument("--node", action="append", metavar="NAME", help="node that may run it")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="program and arguments")
