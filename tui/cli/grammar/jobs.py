"""Verbs that give the cluster work and steer it."""

from __future__ import annotations

import argparse

from tui.cli.options import add_detach_keys, add_where, seconds, whole, words
from tui.cli.parser import Parser, Verbs, verb

HEADING = "work"
SCHEDULE_ACTIONS = ("ls", "show", "pause", "resume", "rm")
NEXT_MAX = 500
"""As `bus.upcoming` has it, which need not be loaded to read a line."""

VERBS = {
    "submit": ("tui.cli.submit", "submit"),
    "run": ("tui.cli.submit", "run"),
    "plan": ("tui.cli.submit", "plan"),
    "wait": ("tui.cli.waiting", "wait"),
    "cancel": ("tui.cli.steering", "cancel"),
    "retry": ("tui.cli.steering", "retry"),
    "hold": ("tui.cli.steering", "hold"),
    "release": ("tui.cli.steering", "release"),
    "pause": ("tui.cli.steering", "pause"),
    "resume": ("tui.cli.steering", "resume"),
    "requeue": ("tui.cli.steering", "requeue"),
    "priority": ("tui.cli.steering", "priority"),
    "schedule": ("tui.cli.schedules", "schedule"),
}


def add(verbs: Verbs, shared: Parser) -> None:
    submit = verb(verbs, shared, "submit", "give the cluster a job")
    _add_form(submit)
    submit.add_argument("--wait", action="store_true", help="until the job has ended; exit as `wait` does")
    submit.add_argument("-q", "--quiet", action="store_true", help="with --wait: show no progress")
    submit.add_argument(
        "--plan", "--dry-run", action="store_true", help="submit nothing: show what would become of it"
    )
    _add_job_options(submit)
    run = verb(
        verbs,
        shared,
        "run",
        "run one command: stream its output, exit with its code",
        formats=("table",),
    )
    run.add_argument("--raw", action="store_true", help="output byte for byte, on a terminal too")
    run.add_argument("-q", "--quiet", action="store_true", help="do not say why it does not start yet")
    run.add_argument("-i", "--interactive", action="store_true", help="in a terminal, with you at it: -it")
    run.add_argument("-t", "--tty", action="store_true", help="the same")
    add_detach_keys(run)
    _add_job_options(run, command=argparse.REMAINDER)
    plan = verb(verbs, shared, "plan", "what a job would become, or what a change would do; nothing is kept")
    plan.add_argument(
        "--next",
        type=whole("--next", least=1, most=NEXT_MAX),
        nargs="?",
        const=50,
        metavar="N",
        help="what would start next of all that waits: when, and on which node (default: the first 50)",
    )
    _add_changes(plan)
    _add_form(plan)
    _add_job_options(plan)
    wait = verb(
        verbs, shared, "wait", "until jobs have ended; exits as a job's only task did, else 1 if one failed"
    )
    wait.add_argument("jobs", nargs="+", metavar="JOB")
    wait.add_argument(
        "--for",
        dest="until",
        default="done",
        metavar="WHAT",
        help="done (default), started, running, completed, failed, or the share of tasks that are over: 50%%",
    )
    wait.add_argument(
        "--timeout", type=seconds("--timeout"), metavar="TIME", help="give up after this long (exit 75)"
    )
    wait.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    cancel = verb(verbs, shared, "cancel", "end jobs or single tasks")
    cancel.add_argument("targets", nargs="*", metavar="JOB|TASK")
    add_where(cancel, example="state=pending user=me", tasks=True)
    retry = verb(verbs, shared, "retry", "queue again what failed or ran out of time")
    retry.add_argument("targets", nargs="*", metavar="JOB|TASK")
    add_where(retry, example="state=failed age<1d", tasks=True)
    _add_steering(verbs, shared)
    _add_schedule(verbs, shared)
    requeue = verb(verbs, shared, "requeue", "end what runs and queue it again; no retry is charged")
    requeue.add_argument("targets", nargs="*", metavar="JOB|TASK")
    add_where(requeue, example="state=running user=me", tasks=True)


def _add_steering(verbs: Verbs, shared: Parser) -> None:
    hold = verb(verbs, shared, "hold", "keep the waiting tasks of jobs from starting")
    hold.add_argument("jobs", nargs="*", metavar="JOB")
    add_where(hold, example="user=me name~sweep")
    release = verb(verbs, shared, "release", "let held jobs start again")
    release.add_argument("jobs", nargs="*", metavar="JOB")
    add_where(release, example="user=me name~sweep")
    pause = verb(verbs, shared, "pause", "let what runs of jobs stand still, in its place; nothing starts")
    pause.add_argument("jobs", nargs="*", metavar="JOB")
    add_where(pause, example="user=me name~sweep")
    resume = verb(verbs, shared, "resume", "let paused jobs go on")
    resume.add_argument("jobs", nargs="*", metavar="JOB")
    add_where(resume, example="user=me name~sweep")
    priority = verb(verbs, shared, "priority", "move what waits of jobs in the line; 10 goes first")
    priority.add_argument("jobs", nargs="+", metavar="JOB")
    priority.epilog = "the last word is the priority: corral priority 1042 1043 8"
    add_where(priority, example="user=me state=pending")


def _add_schedule(verbs: Verbs, shared: Parser) -> None:
    schedule = verb(verbs, shared, "schedule", "jobs that repeat (submit --cron): see, pause, resume, remove")
    schedule.add_argument(
        "action",
        nargs="?",
        choices=SCHEDULE_ACTIONS,
        default="ls",
        metavar="|".join(SCHEDULE_ACTIONS),
        help="resume goes on with the next time to come; rm leaves the jobs that were made",
    )
    schedule.add_argument("names", nargs="*", metavar="NAME")
    schedule.add_argument("--user", metavar="NAME", help="whose, if not one's own")


def _add_form(parser: Parser) -> None:
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="a job file (JSON, TOML, YAML), or a script with #CORRAL lines; -: stdin",
    )
    parser.add_argument("--tool", metavar="NAME", help="a tool instead of a command, such as wordcount")
    parser.add_argument(
        "--for-each",
        metavar="GLOB",
        action="append",
        help="one task for each file that matches, each line of @LIST, or of a list in the cluster (corral://…)",
    )
    parser.add_argument(
        "--matrix", metavar="NAME=V,…", action="append", help="one task for each combination; may be repeated"
    )
    parser.add_argument("--array", metavar="RANGE", help="one task an index: 0-99, 0-99%%10, 1,5,9-20:2")
    parser.add_argument(
        "--cron",
        metavar="FIELDS",
        help='a schedule: submit it again and again, at "30 4 * * mon-fri", @daily',
    )
    parser.add_argument(
        "--zone", metavar="NAME", help="in which --cron is meant: Europe/Berlin (default: UTC)"
    )
    parser.add_argument(
        "--overlap",
        choices=("forbid", "allow", "replace"),
        help="if the job before still runs: leave it out (default), run both, cancel the one before",
    )
    parser.add_argument("--frames", metavar="RANGE", help="of a rendering: 1-240, 1-240:2, as CORRAL_FRAME")
    parser.add_argument(
        "--kind",
        choices=("batch", "interactive", "streaming", "rendering", "ai_training"),
        help="streaming: started again however it ends; interactive: in a terminal (default: batch)",
    )
    parser.add_argument(
        "--max-parallel",
        type=whole("--max-parallel", least=1, most=1_000_000),
        metavar="N",
        help="of an array, list or matrix at most so many at once",
    )
    parser.add_argument(
        "--retries",
        type=whole("--retries", least=0, most=10),
        metavar="N",
        help="tries after a failure (default: 3)",
    )


def _add_changes(plan: Parser) -> None:
    changes = plan.add_argument_group("what if (with a job or without)")
    changes.add_argument("--add-nodes", metavar="N[:like=NODE]", help="empty nodes like NODE, or the largest")
    changes.add_argument("--drain", action="append", metavar="NODE", help="if nothing more started on NODE")
    changes.add_argument(
        "--order", "--policy", metavar="NAME", help="if that rule or learned order decided who goes next"
    )


def _add_volume_option(parser: Parser) -> None:
    parser.add_argument(
        "--volume",
        dest="volumes",
        action="append",
        default=[],
        metavar="NAME[:PATH][:ro]",
        help="a volume of every task, at PATH (below its work folder, where no container is); repeatable",
    )


def _add_gang_options(parser: Parser) -> None:
    gang = parser.add_argument_group("ranks that start together")
    gang.add_argument(
        "--gang", type=int, metavar="N", help="one task of N ranks that start together or not at all"
    )
    gang.add_argument(
        "--gang-topology", metavar="LABEL", help="label, or subnet, of which the ranks would share one value"
    )
    gang.add_argument("--ranks-per-node", type=int, metavar="N", help="at most so many ranks on a node")
    gang.add_argument(
        "--start-timeout", metavar="TIME", help="how long ranks wait for each other before any starts (60s)"
    )
    gang.add_argument(
        "--gang-restart",
        choices=("gang", "fail"),
        help="when a rank is lost with its node: queue the gang again (gang), or fail",
    )


def _add_job_options(parser: Parser, *, command: str = "*") -> None:
    """`command`: how many words, for argparse. REMAINDER: all from the first that is no option of ours."""
    job = parser.add_argument_group("the job")
    job.add_argument("--name", metavar="TEXT")
    job.add_argument("--shell", metavar="TEXT", help="a line for /bin/sh instead of -- COMMAND")
    job.add_argument(
        "--priority", metavar="1-10", help="10 goes first (default: 5); also low, normal or high"
    )
    job.add_argument("--env", action="append", metavar="NAME=VALUE")
    job.add_argument("--workdir", metavar="DIR")
    job.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME[@VERSION]",
        help="its file is at the path in $CORRAL_MODEL_NAME before the task starts; repeatable",
    )
    job.add_argument(
        "--bring",
        action="append",
        default=[],
        metavar="NAME=POINTER",
        help="a file below $CORRAL_FILES: corral://1042.7/m.bin, @last.0/NAME, file://…, s3://…; repeatable",
    )
    job.add_argument(
        "--replicas",
        type=whole("--replicas", least=0, most=10),
        metavar="N",
        help="copies on other nodes of each artifact that a task leaves (default: 0)",
    )
    job.add_argument("--stdin", metavar="FILE", help="what the command reads; - passes this command's own")
    job.add_argument("--timeout", metavar="TIME", help="longest run of a task: 90, 1h30m, 1-02:00:00")
    job.add_argument("--grace", metavar="TIME", help="between TERM and KILL")
    job.add_argument(
        "--retry-on",
        action="append",
        metavar="END",
        help="try again only after: failed (default), timeout, exit:75, signal:KILL; may be repeated",
    )
    job.add_argument(
        "--after",
        action="append",
        metavar="JOB",
        help="until that job has completed, or as 1041:failed, :any (ended), :corresponding (task by task)",
    )
    job.add_argument(
        "--start-at", metavar="TIME", help="not before then: 2026-11-24T08:00Z (with a zone), or +2h from now"
    )
    job.add_argument(
        "--on-failure",
        choices=("continue", "cancel", "stop_new"),
        help="when a task has failed for good: go on (default), end the rest, start nothing more",
    )
    job.add_argument(
        "--max-failures",
        type=whole("--max-failures", least=0, most=1_000_000),
        metavar="N",
        help="failed tasks that --on-failure bears (default: 0)",
    )
    job.add_argument("--idempotent", action="store_true", help="may run twice: a lost task restarts at once")
    job.add_argument(
        "--preemptible", action="store_true", help="may be ended and queued again for a higher priority"
    )
    job.add_argument("--dedupe-key", metavar="KEY", help="the same key gives the same job")
    _add_container_options(parser)
    _add_gang_options(parser)
    _add_checkpoint_options(parser)
    _add_volume_option(parser)
    _add_needs(parser)
    parser.add_argument("command", nargs=command, metavar="-- COMMAND", help="program and arguments")


def _add_checkpoint_options(parser: Parser) -> None:
    group = parser.add_argument_group("what it saves to go on from")
    group.add_argument(
        "--checkpoint",
        action="store_true",
        help="keep what it saves in CORRAL_CHECKPOINT_DIR, and go on from it",
    )
    group.add_argument("--checkpoint-keep", type=int, metavar="N", help="so many, the newest (3)")
    group.add_argument(
        "--checkpoint-keep-best",
        metavar="METRIC:min|max",
        help="and the best by a metric, however old: loss:min",
    )
    group.add_argument("--checkpoint-replicas", type=int, metavar="N", help="copies on other nodes (1)")
    group.add_argument(
        "--checkpoint-interval", metavar="TIME", help="of those that it does not tell of, one in this time"
    )
    group.add_argument("--checkpoint-dir", metavar="DIR", help="a folder below CORRAL_CHECKPOINT_DIR")


def _add_container_options(parser: Parser) -> None:
    container = parser.add_argument_group("in a container, and what of the network")
    container.add_argument("--image", metavar="NAME", help="python:3.11, registry:5000/app@sha256:…")
    container.add_argument(
        "--mount",
        action="append",
        metavar="PATH",
        help="of the node: /data:ro, /scratch:/inside; may be repeated",
    )
    container.add_argument("--read-only", action="store_true", help="the image's own files cannot be changed")
    container.add_argument(
        "--pull",
        choices=("missing", "always", "never"),
        help="when the image is fetched (default: where it is missing)",
    )
    container.add_argument(
        "--network",
        dest="network_policy",
        choices=("default", "none", "host"),
        help="none: a loopback alone; host: the node's, from within a container too",
    )


def _add_needs(parser: Parser) -> None:
    needs = parser.add_argument_group("what a task needs")
    needs.add_argument("--cpu", metavar="CORES", help="2, 0.5, 500m (default: 1)")
    needs.add_argument("--memory", metavar="SIZE", help="4GiB, 512M (default: 64M)")
    needs.add_argument("--gpu", metavar="N", help="GPUs, or a share of one: 2, 0.5, 250m; or a100:2")
    needs.add_argument(
        "--gpu-type", type=words, metavar="MODEL,…", help="models of which any will do: a100,h100"
    )
    needs.add_argument("--gpu-memory", metavar="SIZE", help="that each GPU must have: 40GiB")
    needs.add_argument("--gpu-uuid", metavar="UUID", help="the only GPU that will do, see corral gpu ls")
    needs.add_argument("--storage", metavar="SIZE")
    needs.add_argument("--net", metavar="RATE", help="100Mbit, 1Gbit")
    needs.add_argument(
        "--label", action="append", metavar="NAME=VALUE", help="label that the node must carry"
    )
    needs.add_argument("--node", action="append", metavar="NAME", help="node that may run it")
    wishes = parser.add_argument_group("where it would rather run")
    wishes.add_argument(
        "--prefer",
        action="append",
        metavar="NAME=VALUE",
        help="nodes with this label, or with NAME=VALUE:WEIGHT (1 to 100); may be repeated",
    )
    wishes.add_argument(
        "--avoid",
        action="append",
        metavar="JOB",
        help="nodes that run tasks of that job, or of self: never, or with JOB:WEIGHT rather not",
    )
    how = wishes.add_mutually_exclusive_group()
    how.add_argument(
        "--pack", dest="placement", action="store_const", const="pack", help="its tasks on few nodes"
    )
    how.add_argument(
        "--spread", dest="placement", action="store_const", const="spread", help="its tasks on many nodes"
    )
    wishes.add_argument(
        "--topology", metavar="LABEL", help="pack into few values of a label (rack …), or spread over them"
    )
