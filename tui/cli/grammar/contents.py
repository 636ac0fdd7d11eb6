"""Verbs about what tasks and people leave."""

from __future__ import annotations

from tui.cli.options import LIMIT_MAX, whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "files"

VERBS = {
    "artifact": ("tui.cli.artifacts", "artifact"),
    "model": ("tui.cli.models", "model"),
    "checkpoint": ("tui.cli.checkpoints", "checkpoint"),
    "replica": ("tui.cli.replicas", "replica"),
}

ACTIONS = ("ls", "list", "show", "get", "put", "rm", "gc")
MODEL_ACTIONS = ("register", "ls", "list", "show", "pull", "rm")
CHECKPOINT_ACTIONS = ("ls", "list", "show", "get", "best", "use", "rm")
FORMS = ("table", "json", "jsonl", "name")


def add(verbs: Verbs, shared: Parser) -> None:
    _add_checkpoint(verbs, shared)
    artifact = verb(
        verbs,
        shared,
        "artifact",
        "files that tasks leave and people bring: ls, show, get, put, rm, gc",
        formats=FORMS,
    )
    artifact.add_argument("action", choices=ACTIONS, metavar="ls|show|get|put|rm|gc")
    artifact.add_argument(
        "what", nargs="?", metavar="ARTIFACT|FILE|JOB", help="an id, 1042.7/model.bin; of put: a file"
    )
    artifact.add_argument("--to", metavar="PATH", help="get: where to (default: its name, here)")
    artifact.add_argument("--force", action="store_true", help="get: write over what is there")
    artifact.add_argument("--extract", action="store_true", help="get: take the tar or zip apart into --to")
    artifact.add_argument("--name", metavar="NAME", help="put: under which name (default: the file's)")
    artifact.add_argument("--node", metavar="NODE", help="put: to this node (default: where there is room)")
    artifact.add_argument("--dry-run", action="store_true", help="gc: only say what would go")
    artifact.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX),
        default=100,
        metavar="N",
        help="ls: so many, newest first (default: %(default)s)",
    )
    about = "versions of content with a name that never change: register, ls, show, pull, rm"
    model = verb(verbs, shared, "model", about, formats=FORMS)
    model.add_argument("action", choices=MODEL_ACTIONS, metavar="register|ls|show|pull|rm")
    model.add_argument("model", nargs="?", metavar="MODEL", help="NAME, its newest version, or NAME@VERSION")
    model.add_argument("--version", dest="model_version", metavar="VERSION", help="register: which it is")
    model.add_argument("--file", metavar="PATH", help="register: the content, brought from here")
    model.add_argument("--artifact", metavar="ARTIFACT", help="register: the content, of an artifact")
    model.add_argument("--node", metavar="NODE", help="register: bring it to this node")
    model.add_argument(
        "--metric", action="append", default=[], metavar="NAME=NUMBER", help="register: how good it is"
    )
    model.add_argument("--tag", action="append", default=[], metavar="TAG", help="register, ls")
    model.add_argument("--config", metavar="FILE", help="register: JSON, TOML or YAML that goes with it")
    model.add_argument("--to", metavar="PATH", help="pull: where to (default: its file's name, here)")
    model.add_argument("--force", action="store_true", help="pull: write over what is there")
    model.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX),
        default=100,
        metavar="N",
        help="ls: so many, newest first (default: %(default)s)",
    )
    replica = verb(verbs, shared, "replica", "copies of content on other nodes: ls, scrub", formats=FORMS)
    replica.add_argument("action", choices=("ls", "list", "scrub"), metavar="ls|scrub")
    replica.add_argument("target", nargs="?", metavar="JOB|TASK", help="ls: of this job or task alone")
    replica.add_argument("--under", action="store_true", help="ls: content that lacks copies")
    replica.add_argument("--node", metavar="NODE", help="ls: from or to this node; scrub: this one alone")
    replica.add_argument(
        "--state", choices=("active", "out_of_sync", "failed"), metavar="STATE", help="ls: in this state"
    )
    replica.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX),
        default=100,
        metavar="N",
        help="ls: so many, newest first (default: %(default)s)",
    )


def _add_checkpoint(verbs: Verbs, shared: Parser) -> None:
    checkpoint = verb(
        verbs,
        shared,
        "checkpoint",
        "what tasks saved to go on from: ls, show, get, best, use, rm",
        formats=FORMS,
    )
    checkpoint.add_argument("action", choices=CHECKPOINT_ACTIONS, metavar="ls|show|get|best|use|rm")
    checkpoint.add_argument(
        "what", nargs="?", metavar="CHECKPOINT|JOB|TASK", help="an id, 1042.7 (its newest), 1042.7@1200"
    )
    checkpoint.add_argument("--to", metavar="DIR", help="get: a folder that is made (default: 1042.7@1200)")
    checkpoint.add_argument("--metric", metavar="NAME", help="best: by this metric, the least value")
    checkpoint.add_argument("--max", action="store_true", help="best: the largest value instead")
    checkpoint.add_argument("--task", metavar="TASK", help="use: by the next attempt of this task")
    checkpoint.add_argument(
        "--limit",
        type=whole("--limit", least=1, most=LIMIT_MAX),
        default=100,
        metavar="N",
        help="ls: so many, newest first (default: %(default)s)",
    )
