"""The grammar of the command line. Knows every verb and option; imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from tui.cli.diagnostics import CommandError, Exit

ABOUT = "One pool of all your machines: start it, give it work, watch it."

EPILOG = """jobs are named by number (1042), tasks by job and index (1042.7); @last is your newest job.
verbs may stand behind their noun: corral node drain N is corral drain N.
first steps: corral up; corral run -- echo hello; corral jobs
corral help VERB, corral help E_CODE and corral help TOPIC explain more; topics: {topics}"""

TOPICS = ("columns", "exit", "filter", "ids", "output", "time", "units")

HELP_COLUMNS, VERB_COLUMNS = 80, 14

FORMATS = ("table", "wide", "json", "jsonl", "name")


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting, and suggests what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Raises CommandError: argparse's words, in the form of every error."""
        said = re.fullmatch(r"argument ([^:]+): (.*)", message, re.DOTALL)
        field, what = (said[1].rpartition("/")[2], said[2]) if said else ("", message)
        got = expected = ""
        if invalid := re.fullmatch(r"invalid choice: ('.*'|\".*\") \(choose from (.*)\)", what, re.DOTALL):
            what, got = "unknown word", invalid[1][:80]
            expected = "a verb" if field == "VERB" else f"one of {invalid[2].replace(chr(39), '')}"
        raise CommandError(
            "E_USAGE",
            what,
            exit=Exit.USAGE,
            field=field,
            got=got,
            expected=expected,
            hint=self._hint(message),
        )

    def _hint(self, message: str) -> str:
        usual = f"{self.prog} --help shows what it takes"
        known = sorted(set(re.findall(r"--?[a-z][a-z-]*", self.format_help())))
        if invalid := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            word, known = invalid[1], re.findall(r"[a-z]+", invalid[2])
        elif unknown := re.search(r"unrecognized arguments: (\S+)", message):
            word = unknown[1].partition("=")[0]
            if not word.startswith("-"):
                return usual
        else:
            return usual
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        return f"did you mean {near[0]}?" if near else usual


def build(verb: str = "") -> Parser:
    """The whole grammar; for the line of a known verb its family will do, which takes a third of the time."""
    parser = Parser(
        prog="corral",
        usage="corral VERB [OPTION ...]",
        description=ABOUT,
        epilog=EPILOG.format(topics=", ".join(TOPICS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", prog="corral", help=argparse.SUPPRESS)
    shared = _shared()
    known = families()
    headed: list[str] = []
    for family in [family for family in known if verb in family.VERBS] or known:
        told = _Told(verbs)
        family.add(told, shared)
        headed += ["", f"{family.HEADING}:", *told.lines]
    parser.description = "\n".join([ABOUT, *headed])
    return parser


def _shared() -> Parser:
    shared = Parser(add_help=False, allow_abbrev=False)
    group = shared.add_argument_group("everywhere")
    group.add_argument(
        "--data", metavar="DIR", help="data folder (default: CORRAL_DATA, else the system's place)"
    )
    group.add_argument("--url", metavar="URL", help="another cluster's NATS address")
    group.add_argument("--credentials", metavar="FILE", help="credentials for --url")
    return shared


class Verbs(Protocol):
    """What `add_subparsers` returns, as far as it is used here (argparse keeps its type private)."""

    def add_parser(
        self,
        name: str,
        *,
        aliases: Sequence[str],
        parents: Sequence[Parser],
        help: str,
        description: str,
        allow_abbrev: bool,
    ) -> Parser: ...


class _Told:
    """Adds verbs to a grammar and keeps a line about each: argparse has no headings for them."""

    def __init__(self, verbs: Verbs) -> None:
        self.lines: list[str] = []
        self._verbs = verbs

    def add_parser(
        self,
        name: str,
        *,
        aliases: Sequence[str],
        parents: Sequence[Parser],
        help: str,
        description: str,
        allow_abbrev: bool,
    ) -> Parser:
        first, *rest = textwrap.wrap(help, HELP_COLUMNS - VERB_COLUMNS)
        self.lines += [f"  {name:<{VERB_COLUMNS - 2}}{first}", *(" " * VERB_COLUMNS + line for line in rest)]
        return self._verbs.add_parser(
            name,
            aliases=aliases,
            parents=parents,
            help=help,
            description=description,
            allow_abbrev=allow_abbrev,
        )


def verb(
    verbs: Verbs,
    shared: Parser | None,
    name: str,
    text: str,
    *,
    formats: Sequence[str] = FORMATS,
    aliases: Sequence[str] = (),
) -> Parser:
    """A verb with the options of `shared`: None for those that ask nobody. `formats`: of its answer.

    `-o` has no default here: what was not typed comes from the settings, else it is the first format.
    """
    parents = [] if shared is None else [shared]
    parser = verbs.add_parser(
        name, aliases=aliases, parents=parents, help=text, description=text, allow_abbrev=False
    )
    if len(formats) > 1:
        text = f"form of the answer (default: {formats[0]})"
        parser.add_argument("-o", "--output", choices=formats, help=text)
    else:
        parser.set_defaults(output=formats[0])
    parser.set_defaults(parser=parser, formats=formats)
    return parser


class Family(Protocol):
    """A module of `tui.cli.grammar`. VERBS: verb -> the module and function that carry it out.

    HEADING: what the help calls them.
    """

    HEADING: str
    VERBS: dict[str, tuple[str, str]]

    def add(self, verbs: Verbs, shared: Parser) -> None: ...


FAMILIES = (
    "machine",
    "jobs",
    "sessions",
    "views",
    "contents",
    "closer",
    "nodes",
    "training",
    "gpus",
    "networks",
    "scheduler",
    "registry",
    "webhooks",
    "storage",
    "identity",
    "settings",
    "help",
)


def families() -> list[Family]:
    """The modules of the grammar, in the order of the help."""
    return [cast(Family, import_module(f"tui.cli.grammar.{name}")) for name in FAMILIES]
