"""The grammar as data: what help, manual pages, docs/commands.md and completion are made from."""

from __future__ import annotations

import argparse

from msgspec import Struct

from tui.cli.parser import Parser, build


class Option(Struct, frozen=True):
    """An option, or an argument (`flags` empty). `value` is what stands for its value in texts."""

    flags: tuple[str, ...]
    value: str
    text: str
    choices: tuple[str, ...] = ()
    many: bool = False


class Section(Struct, frozen=True):
    """Options that belong together."""

    title: str
    options: tuple[Option, ...]


class Verb(Struct, frozen=True):
    """A verb of the command. `usage` is one line."""

    name: str
    aliases: tuple[str, ...]
    text: str
    usage: str
    sections: tuple[Section, ...]

    @property
    def options(self) -> tuple[Option, ...]:
        """All with a flag."""
        return tuple(option for section in self.sections for option in section.options if option.flags)

    @property
    def arguments(self) -> tuple[Option, ...]:
        """All without one."""
        return tuple(option for section in self.sections for option in section.options if not option.flags)


def verbs() -> list[Verb]:
    """All verbs in the order of the help; hidden ones are left out."""
    action = _choice_of_verbs(build())
    told = {item.dest: item.help or "" for item in action._choices_actions}
    found = []
    for name, text in told.items():
        sub = action.choices[name]
        aliases = tuple(alias for alias, other in action.choices.items() if other is sub and alias != name)
        found.append(Verb(name, aliases, text, _usage(sub), _sections(sub)))
    return found


def parser_of(verb: str) -> argparse.ArgumentParser:
    """The parser of one verb."""
    parser: argparse.ArgumentParser = _choice_of_verbs(build()).choices[verb]
    return parser


def _choice_of_verbs(parser: Parser) -> argparse._SubParsersAction[Parser]:
    # argparse has no public way to look at a grammar; these attributes have not changed since Python 2.7
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _usage(parser: argparse.ArgumentParser) -> str:
    return " ".join(parser.format_usage().split()).removeprefix("usage: ")


def _sections(parser: argparse.ArgumentParser) -> tuple[Section, ...]:
    found = []
    for group in parser._action_groups:
        options = tuple(
            _option(parser, action)
            for action in group._group_actions
            if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
        )
        if options:
            found.append(Section(group.title or "", options))
    return tuple(found)


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    takes_value = action.nargs != 0
    value = action.metavar if isinstance(action.metavar, str) else ""
    choices = tuple(map(str, action.choices)) if action.choices is not None else ()
    if takes_value and not value:
        value = "|".join(choices) or action.dest.upper()
    text = (action.help or "") % {"default": action.default, "prog": parser.prog}
    many = action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction)
    return Option(tuple(action.option_strings), value if takes_value else "", text, choices, many)
