"""Manual pages and the command reference, drawn from the grammar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import dedent

from tui.cli.parser import EPILOG, TOPICS
from tui.cli.reference import Option, Section, Verb
from tui.cli.topics import summary, topic

EVERYWHERE = "everywhere"
"""The section that every verb has; the reference tells it once."""


def pages(verbs: Sequence[Verb], *, version: str) -> dict[str, str]:
    """File name -> roff (man macros), for section 1."""
    made = {"corral.1": _page("corral", version, _main_body(verbs))}
    for verb in verbs:
        made[f"corral-{verb.name}.1"] = _page(f"corral-{verb.name}", version, _verb_body(verb))
    return made


def markdown(verbs: Sequence[Verb]) -> str:
    """The whole reference as one document."""
    lines = [
        "# The `corral` command",
        "",
        "Drawn from the command's own grammar (`corral man --markdown`); a test keeps it true.",
        "",
        "| verb | |",
        "|---|---|",
        *(f"| [`{verb.name}`](#{verb.name}) | {_cell(verb.text)} |" for verb in verbs),
        "",
    ]
    shared = next(section for section in verbs[0].sections if section.title == EVERYWHERE)
    lines += ["Every verb takes:", "", *_markdown_options(shared.options), ""]
    for name in TOPICS:
        title, _, *text = topic(name)
        lines += [f"## {title}", "", *_markdown_topic(text)]
    for verb in verbs:
        lines += [*_markdown_verb(verb), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_topic(text: Iterable[str]) -> Iterator[str]:
    """What is explained as it stands, the examples as the commands that they are."""
    for are_commands, lines in groupby(text, key=lambda line: line.startswith("  corral ")):
        block = "\n".join(lines).strip("\n")
        if block:
            yield from (f"```{'sh' if are_commands else 'text'}", dedent(block) if are_commands else block)
            yield from ("```", "")


def _markdown_verb(verb: Verb) -> Iterator[str]:
    yield f"## {verb.name}"
    yield ""
    also = f" Also: {', '.join(f'`{alias}`' for alias in verb.aliases)}." if verb.aliases else ""
    yield f"{verb.text[:1].upper()}{verb.text[1:]}.{also}"
    for section in verb.sections:
        options = [option for option in section.options if option.flags != ("-h", "--help")]
        if section.title == EVERYWHERE or not options:
            continue
        yield ""
        yield from _markdown_options(options)


def _markdown_options(options: Iterable[Option]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for option in options:
        choices = ", ".join(f"`{choice}`" for choice in option.choices)
        text = f"{option.text}{': ' if option.text and choices else ''}{choices}"
        yield f"| `{_cell(_invocation(option))}` | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _invocation(option: Option) -> str:
    """ "-o, --output FORM"; of an argument its name."""
    flags = ", ".join(option.flags)
    value = "FORM" if option.choices and option.flags else option.value
    more = "..." if option.many and not option.flags else ""
    return " ".join(part for part in (flags, value) if part) + more


def _page(name: str, version: str, body: Iterable[str]) -> str:
    head = [f'.TH "{_roff(name.upper())}" "1" "" "Corral {_roff(version)}" "Corral Manual"', ".nh", ".ad l"]
    return "\n".join([*head, *body]) + "\n"


def _main_body(verbs: Sequence[Verb]) -> Iterator[str]:
    yield from (".SH NAME", "corral \\- one pool of all your machines")
    yield from (".SH SYNOPSIS", ".B corral", "\\fIVERB\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]")
    yield ".SH DESCRIPTION"
    for line in EPILOG.format(topics=", ".join(TOPICS)).splitlines():
        yield from (_roff(line), ".br")
    yield ".SH VERBS"
    for verb in verbs:
        also = f" (also: {', '.join(verb.aliases)})" if verb.aliases else ""
        yield from (
            ".TP",
            f"\\fB{_roff(verb.name)}\\fR",
            _roff(f"{verb.text}{also}; see corral-{verb.name}(1)"),
        )
    for name in TOPICS:
        yield f'.SH "{_roff(name.upper())}"'
        yield from (_roff(f"{summary(name)}."), ".PP", ".nf")
        yield from (_roff(line) for line in topic(name)[2:])
        yield ".fi"


def _verb_body(verb: Verb) -> Iterator[str]:
    yield from (".SH NAME", f"corral-{_roff(verb.name)} \\- {_roff(verb.text)}")
    yield from (".SH SYNOPSIS", _roff(verb.usage))
    for section in verb.sections:
        yield f'.SH "{_roff(section.title.upper())}"'
        yield from _roff_options(section)
    yield from (".SH SEE ALSO", ".BR corral (1)")


def _roff_options(section: Section) -> Iterator[str]:
    for option in section.options:
        choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
        yield from (".TP", f"\\fB{_roff(_invocation(option))}\\fR", _roff(f"{option.text}{choices}") or "\\&")


def _roff(text: str) -> str:
    """Text as it is: no character of it means anything to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("'", "\\(aq")
    text = text.replace("~", "\\(ti").replace("^", "\\(ha").replace("`", "\\(ga").replace("…", "...")
    text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text
