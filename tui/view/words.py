"""The words of the command line: which there are, what a line means, and how it may go on."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from bus.errors import CorralError


class WordError(CorralError):
    """A line that cannot be done; the text says why and what would do."""


class Word(Struct, frozen=True, kw_only=True):
    """`argument` names what follows it ("" for nothing); `bare` is what it does without one.

    `check` may refuse an argument (raises CorralError) while the line can still be mended.
    """

    name: str
    about: str
    run: Callable[[str], Awaitable[None] | None]
    argument: str = ""
    bare: Callable[[], Awaitable[None] | None] | None = None
    choices: Callable[[], Sequence[str]] = tuple
    check: Callable[[str], Awaitable[None]] | None = None


Words = Mapping[str, Word]


def parse_line(line: str, words: Words) -> tuple[Word, str]:
    """The word and its argument. Raises WordError."""
    name, _, argument = line.strip().partition(" ")
    argument = argument.strip()
    if name[:1].isdigit() and not argument and name not in words:
        name, argument = ("task" if "." in name else "job"), name
    word = words.get(name)
    if word is None:
        near = nearest(name, list(words))
        raise WordError(f"no such word: {name}" + (f"; {near}?" if near else "; Tab shows all"))
    if argument and not word.argument:
        raise WordError(f"{name} takes nothing")
    if not argument and word.argument and word.bare is None:
        raise WordError(f"{name} takes {word.argument}")
    return word, argument


def choose(value: str, choices: Sequence[str], *, noun: str) -> str:
    """`value` where it is one of `choices`. Raises WordError with the nearest one."""
    if value in choices:
        return value
    near = nearest(value, choices)
    hint = f"{near}?" if near else ", ".join(choices) or "there is none"
    raise WordError(f"no such {noun}: {value}; {hint}")


def nearest(value: str, choices: Sequence[str]) -> str | None:
    """The choice that was probably meant."""
    near = difflib.get_close_matches(value[:80], choices, n=1, cutoff=0.5)
    return near[0] if near else None


def completions(line: str, words: Words) -> list[str]:
    """Whole lines that begin with this one: words first, then what may follow the word."""
    name, blank, argument = line.lstrip().partition(" ")
    if not blank:
        return [word.name + (" " if word.argument else "") for word in _starting(name, words)]
    word = words.get(name)
    if word is None:
        return []
    return [f"{name} {choice}" for choice in word.choices() if choice.startswith(argument.lstrip())]


def _starting(name: str, words: Words) -> list[Word]:
    return [words[known] for known in sorted(words) if known.startswith(name)]


def common_start(lines: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(lines, default=""), max(lines, default="")
    length = next((at for at, sign in enumerate(first) if last[at : at + 1] != sign), len(first))
    return first[:length]
