"""Verbs for what can be run by name: tools, task types, and the agents that are able to."""

from __future__ import annotations

from tui.cli.options import whole
from tui.cli.parser import Parser, Verbs, verb

HEADING = "tools and types"

VERBS = {
    "tool": ("tui.cli.registry", "tool"),
    "type": ("tui.cli.registry", "kind"),
    "worker": ("tui.cli.registry", "worker"),
}

ACTIONS = (
    *("add", "ls", "list", "show", "tag", "untag", "enable", "disable"),
    *("call", "stats", "search", "rm"),
)
FORMS = ("table", "json", "jsonl", "name")


def add(verbs: Verbs, shared: Parser) -> None:
    tool = verb(
        verbs,
        shared,
        "tool",
        "commands with a name, versions and schemas: register, call, see",
        formats=FORMS,
    )
    tool.set_defaults(command=[])
    tool.add_argument("action", choices=ACTIONS, metavar="ACTION", help=f"one of {', '.join(ACTIONS)}")
    tool.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="NAME or NAME@VERSION; of add a file, or a name with -- COMMAND; of tag the tags behind it",
    )
    tool.add_argument("--input", metavar="JSON", help="of call: an object, @FILE, or - for stdin")
    tool.add_argument("--no-wait", action="store_true", help="of call: hand the job over and return")
    tool.add_argument("--version", dest="tool_version", metavar="X.Y.Z", help="of add (default: 1.0.0)")
    tool.add_argument("--description", metavar="TEXT", help="of add")
    tool.add_argument(
        "--category",
        choices=("analysis", "processing", "validation", "storage"),
        help="of add, ls and search (add: processing)",
    )
    tool.add_argument("--tag", action="append", default=[], metavar="TAG", help="of add, ls and search")
    tool.add_argument("--type", metavar="TYPE", help="of add: the task type of its calls (default: tool)")
    tool.add_argument("--node", metavar="NODE", help="of add: it runs on this one only")
    tool.add_argument("--capability", metavar="WORD", help="of add: its nodes must have shown that they can")
    tool.add_argument("--pin", metavar="PATH", help="of add: a file that must be the same on every node")
    tool.add_argument("--input-schema", metavar="FILE", help="of add: JSON Schema of the input")
    tool.add_argument("--output-schema", metavar="FILE", help="of add: JSON Schema of the output")
    tool.add_argument("--cpu", metavar="CORES", help="of add: what a call has unless it asks for more")
    tool.add_argument("--memory", metavar="SIZE", help="of add: likewise")
    tool.add_argument("--timeout", metavar="TIME", help="of add: likewise")
    tool.add_argument("--reason", default="", metavar="TEXT", help="of disable")
    tool.add_argument("--property", default="", metavar="KEY", help="of search: in its input")
    tool.add_argument("--output-property", default="", metavar="KEY", help="of search: in its output")
    tool.add_argument("--active", action="store_true", help="of ls: only what may be called now")
    tool.add_argument("--all", action="store_true", help="of ls: older versions, too")
    tool.add_argument(
        "--days",
        type=whole("--days", least=1, most=366),
        default=30,
        metavar="N",
        help="of stats: calls of so many days (default: %(default)s)",
    )
    about = "what kinds of tasks there are, what they need and take"
    kind = verb(verbs, shared, "type", about, formats=FORMS)
    kind.add_argument("action", choices=("ls", "list", "show", "add"), metavar="ls|show|add")
    kind.add_argument("name", nargs="?", metavar="NAME")
    kind.add_argument("--description", metavar="TEXT", help="of add")
    kind.add_argument("--agent-type", default="NodeAgent", metavar="TYPE", help="of add")
    kind.add_argument("--require", action="append", default=[], metavar="KEY", help="of add: in its input")
    kind.add_argument("--input-schema", metavar="FILE", help="of add: JSON Schema of the input")
    about = "the agents, and what their own tests showed that they can"
    worker = verb(verbs, shared, "worker", about, formats=FORMS)
    worker.add_argument("action", choices=("ls", "list"), metavar="ls")
