"""Commands of registered tools: words in which a closed set of placeholders stands for a task's own values.

    {input} {output} {workdir}   paths: the input as a JSON file, where the output goes, the work folder
    {item} {index}               of a list or an array: the task's item, its index
    {input.KEY}                  a value of the input: text as it is, numbers and booleans as JSON writes them

There is no shell and no formatting: a word is cut at its placeholders once, and what is put in is not looked
at again. Other text in braces stays as it is, unless it looks like a mistyped placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

PLACEHOLDERS = ("input", "output", "workdir", "item", "index")
KEY = "input."

_PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\.[A-Za-z_][A-Za-z0-9_]*)?)\}")


class TemplateError(ValueError):
    """What a template asks for does not exist; the message names it."""


def unknown(word: str) -> list[str]:
    """What looks like a placeholder in `word` and is none."""
    return [
        name for name in _PLACEHOLDER.findall(word) if name not in PLACEHOLDERS and not name.startswith(KEY)
    ]


def keys(words: Sequence[str]) -> set[str]:
    """The keys of the input that a command needs."""
    names = (name for word in words for name in _PLACEHOLDER.findall(word))
    return {name.removeprefix(KEY) for name in names if name.startswith(KEY)}


def render(words: Sequence[str], values: Mapping[str, str], given: Mapping[str, object]) -> tuple[str, ...]:
    """The command for one task: `values` by placeholder, `given` is its input. Raises TemplateError."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith(KEY):
            return _text(given, name.removeprefix(KEY))
        if name not in values:
            raise TemplateError(f"{{{name}}} has no value here: the task has no {name}")
        return values[name]

    return tuple(_PLACEHOLDER.sub(value_of, word) for word in words)


def _text(given: Mapping[str, object], key: str) -> str:
    match given.get(key):
        case str(text):
            if "\0" in text:
                raise TemplateError(f"input/{key} has a NUL in it")
            return text
        case bool(flag):
            return "true" if flag else "false"
        case int() | float() as number:
            return repr(number)
        case None:
            raise TemplateError(f"input/{key} is missing")
        case _:
            raise TemplateError(f"input/{key} is no text, number or boolean")
