"""From the command line to the verb that does it, and from any error to its exit code."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING

from bus.errors import CorralError
from tui.cli import diagnostics, output
from tui.cli.diagnostics import Exit

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

PIPE_CLOSED = 141
"""What a shell reports for a program that SIGPIPE ended."""


def run(argv: Sequence[str]) -> int:
    """Carry out one command line; every error becomes one line on stderr and an exit code."""
    output.prepare()
    diagnostics.prepare()
    if argv and argv[0] == "__complete":
        from tui.cli.completion import complete

        return complete(argv[1:])
    arguments = None
    try:
        arguments = parse(argv)
        if arguments is None:
            output.finish()
            return Exit.OK
        code = _carry_out(arguments)
        output.finish()
        return code
    except KeyboardInterrupt:
        diagnostics.note("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        output.abandon()
        return PIPE_CLOSED
    except (CorralError, OSError) as error:
        if arguments is None:
            return diagnostics.report(error, as_json=wants_json(argv))
        from tui.cli.flags import report

        return report(error, arguments)


def wants_json(argv: Sequence[str]) -> bool:
    """Whether a line that cannot be parsed asks for JSON."""
    words = list(argv)[: list(argv).index("--")] if "--" in argv else list(argv)
    asked = {word.removeprefix("--output=").removeprefix("-o") for word in words if word.startswith("-")}
    asked |= {form for option, form in pairwise(words) if option in ("-o", "--output")}
    return not asked.isdisjoint({"json", "jsonl"})


def parse(argv: Sequence[str]) -> Namespace | None:
    """The arguments of a verb; None where the line only asked for help or the version, now printed.

    Everything after the first "--" is the command of `submit` and `run`, whatever it looks like.
    """
    from tui.cli.nouns import plain
    from tui.cli.parser import build

    head, command = plain(argv), []
    parser = build(head[0] if head else "")
    if "--" in head:
        cut = head.index("--")
        head, command = head[:cut], head[cut + 1 :]
    if head == ["--version"]:
        from importlib.metadata import version

        output.lines([f"corral {version('corral')}"])
        return None
    try:
        arguments, unknown = parser.parse_known_args(glued(head))
    except SystemExit:  # argparse has printed the help that was asked for
        return None
    if arguments.verb is None:
        output.lines(parser.format_help().splitlines())
        return None
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if command:
        if not hasattr(arguments, "command"):
            arguments.parser.error(f"{arguments.verb} takes no command after --")
        begun = arguments.command or []  # words that stand before "--" are its beginning
        arguments.command = [*begun, "--", *command] if begun else command
    if hasattr(arguments, "data"):  # not the verbs that must work under any settings, such as help
        from tui.cli.config import fill

        fill(arguments)
    if arguments.output not in arguments.formats:
        arguments.output = arguments.formats[0]
    return arguments


def glued(words: Sequence[str]) -> list[str]:
    """ "--sort -age" as "--sort=-age": argparse would take the field for an option."""
    result: list[str] = []
    for word in words:
        if result and result[-1] == "--sort" and re.fullmatch(r"-[a-z][a-z_.]*", word):
            result[-1] += f"={word}"
        else:
            result.append(word)
    return result


def _carry_out(arguments: Namespace) -> int:
    module, function = where(arguments.verb)
    result: int | Coroutine[None, None, int] = getattr(import_module(module), function)(arguments)
    if isinstance(result, int):
        return result
    import asyncio

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(_on_exception)
        return runner.run(result)


def _on_exception(loop: AbstractEventLoop, context: dict[str, object]) -> None:
    """A second ctrl-C is raised in whichever task runs just then, which tells nobody anything."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


def where(verb: str) -> tuple[str, str]:
    """The module and function of a verb: it imports only what it needs, which is what makes it quick."""
    from tui.cli.parser import families

    return next(family.VERBS[verb] for family in families() if verb in family.VERBS)
