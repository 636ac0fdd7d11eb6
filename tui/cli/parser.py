"""The grammar of the command line. Knows every verb and option; imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import NoReturn, Protocol

from tui.cli.diagnostics import CommandError, Exit

EPILOG = """jobs are named by number (1042), tasks by job and index (1042.7); @last is your newest job.
first steps: corral up; corral run -- echo hello; corral jobs"""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and suggests what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Raises CommandError."""
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, hint=self._hint(message))

    def _hint(self, message: str) -> str:
        known = sorted(set(re.findall(r"--?[a-z][a-z-]*", self.format_help())))
        if invalid := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            word, known = invalid[1], re.findall(r"[a-z]+", invalid[2])
        elif unknown := re.search(r"unrecognized arguments: (\S+)", message):
            word = unknown[1].partition("=")[0]
            if not word.startswith("-"):
                return f"{self.prog} --help shows what it takes"
        else:
            return f"{self.prog} --help shows what it takes"
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        return f"did you mean {near[0]}?" if near else f"{self.prog} --help shows what it takes"


def build() -> Parser:
    """The whole grammar."""
    parser = Parser(
        prog="corral",
        description="One pool of all your machines: start it, give it work, watch it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    shared = _shared()
    _add_machine_verbs(verbs, shared)
    _add_job_verbs(verbs, shared)
    _add_view_verbs(verbs, shared)
    return parser


def _shared() -> Parser:
    shared = Parser(add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("everywhere")
    group.add_argument(
        "--data", metavar="DIR", help="data folder (default: CORRAL_DATA, else the system's place)"
    )
    group.add_argument("--url", metavar="URL", help="another cluster's NATS address")
    group.add_argument("--credentials", metavar="FILE", help="credentials for --url")
    group.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="form of the answer"
    )
    return shared


class Verbs(Protocol):
    """What `add_subparsers` returns, as far as it is used here (argparse keeps its type private)."""

    def add_parser(
        self, name: str, *, parents: Sequence[Parser], help: str, description: str, allow_abbrev: bool
    ) -> Parser: ...


def _verb(verbs: Verbs, shared: Parser, name: str, text: str) -> Parser:
    parser = verbs.add_parser(name, parents=[shared], help=text, description=text, allow_abbrev=False)
    parser.set_defaults(parser=parser)
    return parser


def _add_machine_verbs(verbs: Verbs, shared: Parser) -> None:
    up = _verb(verbs, shared, "up", "start Corral on this machine and open the console")
    up.add_argument("--detach", action="store_true", help="return as soon as it runs")
    up.add_argument("--no-console", action="store_true", help="say what runs instead of opening the console")
    up.add_argument("--agents", type=int, metavar="N", help="agents on this machine, sharing it (default: 1)")
    _verb(verbs, shared, "down", "stop what `corral up` started")
    _verb(verbs, shared, "status", "every process of this machine with its health")
    _verb(verbs, shared, "console", "open the console (also: top)")
    _verb(verbs, shared, "top", "open the console")


def _add_job_verbs(verbs: Verbs, shared: Parser) -> None:
    submit = _verb(verbs, shared, "submit", "give the cluster a job")
    submit.add_argument("--file", metavar="FILE", help="job as JSON or TOML; - reads JSON from stdin")
    submit.add_argument("--tool", metavar="NAME", help="a tool instead of a command, such as wordcount")
    submit.add_argument(
        "--for-each", metavar="GLOB", action="append", help="one task for each file that matches"
    )
    submit.add_argument("--array", metavar="RANGE", help="one task an index: 0-99, 0-99%%10, 1,5,9-20:2")
    submit.add_argument("--retries", type=int, metavar="N", help="tries after a failure (default: 3)")
    submit.add_argument("--wait", action="store_true", help="until the job has ended; exit 1 if it failed")
    _add_job_options(submit)
    run = _verb(verbs, shared, "run", "run one command: stream its output, exit with its code")
    run.add_argument("--raw", action="store_true", help="output byte for byte, on a terminal too")
    _add_job_options(run)
    cancel = _verb(verbs, shared, "cancel", "end jobs or single tasks")
    cancel.add_argument("targets", nargs="+", metavar="JOB|TASK")
    wait = _verb(verbs, shared, "wait", "until jobs have ended; exit 1 if one failed")
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


def _add_view_verbs(verbs: Verbs, shared: Parser) -> None:
    jobs = _verb(verbs, shared, "jobs", "jobs, newest first")
    jobs.add_argument("--state", action="append", metavar="STATE", help="only these states")
    jobs.add_argument("--user", metavar="NAME", help="another user's (operators and admins)")
    jobs.add_argument("--limit", type=int, default=50, metavar="N")
    job = _verb(verbs, shared, "job", "one job in full")
    job.add_argument("job", metavar="JOB")
    tasks = _verb(verbs, shared, "tasks", "the tasks of a job, or one task in full")
    tasks.add_argument("target", metavar="JOB|TASK")
    tasks.add_argument("--state", action="append", metavar="STATE", help="only these states")
    tasks.add_argument("--limit", type=int, default=100, metavar="N")
    logs = _verb(verbs, shared, "logs", "what a task printed")
    logs.add_argument("task", metavar="TASK")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the task ends")
    logs.add_argument("--stderr", action="store_true", help="its stderr instead of its stdout")
    logs.add_argument("--raw", action="store_true", help="byte for byte, on a terminal too")
    _verb(verbs, shared, "nodes", "the cluster's nodes")
    node = _verb(verbs, shared, "node", "one node in full")
    node.add_argument("node", metavar="NODE")
