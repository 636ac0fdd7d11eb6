"""What a file that somebody leaves may be called: a relative path of plain names, safe on every system. Pure.

A name is stored exactly as it was given. Two names that some file system could not tell apart (by case, or by
how an accent is written) clash: `clash_key` is equal for them.
"""

from __future__ import annotations

import re
import unicodedata

NAME_BYTES_MAX = 1024
PART_BYTES_MAX = 255

_DRIVE = re.compile(r"[A-Za-z]:")
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class NameFault(ValueError):
    """A name that is refused: `code` is E_PATH (it leads elsewhere) or E_NAME (it cannot be one)."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def check_name(name: str) -> None:
    """Raises NameFault unless `name` is a relative path of plain names."""
    if name == "":
        raise NameFault("E_PATH", "a name is needed")
    if name.startswith(("/", "~")) or _DRIVE.match(name) or "\\" in name:
        raise NameFault("E_PATH", "it is not relative, or reads as a path of another system")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise NameFault("E_NAME", "it is not text in UTF-8") from None
    if size > NAME_BYTES_MAX:
        raise NameFault("E_NAME", f"{size} bytes; at most {NAME_BYTES_MAX}")
    for part in name.split("/"):
        _check_part(part)


def clash_key(name: str) -> str:
    """Equal for names that differ only by case or by how their characters are composed."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _check_part(part: str) -> None:
    if part in ("", ".", ".."):
        raise NameFault("E_PATH", f"a part of it is {part!r}")
    if len(part.encode()) > PART_BYTES_MAX:
        raise NameFault("E_NAME", f"a part of it has {len(part.encode())} bytes; at most {PART_BYTES_MAX}")
    if any(unicodedata.category(letter) == "Cc" for letter in part) or _BIDI.search(part):
        raise NameFault("E_NAME", "it has control characters")
