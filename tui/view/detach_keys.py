"""The keys that leave a terminal which stands elsewhere, as people write them: "ctrl-p,ctrl-q"."""

from __future__ import annotations

import re

DEFAULT = "ctrl-p,ctrl-q"
EXPECTED = "keys with a comma between: ctrl-p,ctrl-q"
_SPECIAL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class NotAKey(ValueError):
    """The message is the word that names none, quoted and cut."""


def bytes_of(text: str) -> bytes:
    """What the keys type; "": none. Raises NotAKey."""
    keys = bytearray()
    for word in filter(None, text.split(",")):
        control = re.fullmatch(r"ctrl-([a-z@\[\\\]^_])", word)
        if control is not None:
            keys.append(_SPECIAL.get(control[1], ord(control[1]) & 0x1F))
        elif len(word) == 1 and word.isascii() and word.isprintable():
            keys.append(ord(word))
        else:
            raise NotAKey(ascii(word)[:80])
    return bytes(keys)


def told(text: str) -> str:
    """For people: "ctrl-p ctrl-q"."""
    return " ".join(filter(None, text.split(",")))
