"""`help`, `man`, `completion`: what the command says about itself."""

from __future__ import annotations

import difflib
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

from bus.codes import CODES
from bus.units import counted
from tui.cli import output
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.parser import TOPICS, build
from tui.cli.reference import verbs


def help(arguments: Namespace) -> int:
    """Explain a verb, an error code or a topic; without one, everything in short."""
    subject = arguments.subject
    if subject is None:
        output.lines(build().format_help().splitlines())
    elif subject.upper() in CODES:
        output.lines(code_lines(subject.upper()))
    elif subject in TOPICS:
        from tui.cli.topics import topic

        output.lines(topic(subject))
    else:
        output.lines(_verb_help(subject))
    return Exit.OK


def code_lines(name: str) -> list[str]:
    """What an error code means, and what to do about it."""
    code = CODES[name]
    return [
        f"{name}: {code.title}",
        "",
        code.meaning,
        f"hint: {code.hint}",
        "",
        f"The command ends with {code.exit}; on the bus it has status {code.status}.",
        *(["The same request may succeed later."] if code.retryable else []),
    ]


def man(arguments: Namespace) -> int:
    """Write all manual pages into a folder, or the main one to stdout."""
    from tui.cli.manual import markdown, pages

    known = verbs()
    if arguments.markdown:
        output.lines(markdown(known).splitlines())
        return Exit.OK
    made = pages(known, version=version("corral"))
    if arguments.folder is None:
        output.lines(made["corral.1"].splitlines())
        return Exit.OK
    folder = Path(arguments.folder) / "man1"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text)
    except OSError as error:
        message = f"cannot write {error.filename}: {error.strerror}"
        raise CommandError("E_PATH", message, exit=Exit.USAGE, field="DIR") from None
    note(f"{counted(len(made), 'page')}; man -M {arguments.folder} corral shows the first")
    output.lines(str(folder / name) for name in made)
    return Exit.OK


def completion(arguments: Namespace) -> int:
    """Print the script that makes a shell complete `corral`."""
    from tui.cli.completion import SCRIPTS

    output.lines(SCRIPTS[arguments.shell].splitlines())
    return Exit.OK


def _verb_help(subject: str) -> list[str]:
    for verb in verbs():
        if subject == verb.name or subject in verb.aliases:
            return _parser_help(verb.name)
    known = [*(verb.name for verb in verbs()), *TOPICS, *CODES]
    near = difflib.get_close_matches(subject, known, n=1, cutoff=0.5)
    raise CommandError(
        "E_USAGE",
        "nothing is known by that name",
        exit=Exit.USAGE,
        got=repr(subject[:80]),
        expected=f"a verb, an error code, or one of {', '.join(TOPICS)}",
        hint=f"did you mean {near[0]}?" if near else "corral help lists the verbs",
    )


def _parser_help(verb: str) -> list[str]:
    from tui.cli.reference import parser_of

    return parser_of(verb).format_help().splitlines()
