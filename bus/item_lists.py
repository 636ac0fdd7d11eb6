"""Lists of items too long for a message: content of the cluster, which a job's `for_each` points to.

The text has an item a line, in UTF-8. Whoever takes a job in reads the text once, piece by piece, checks each
line, and keeps the items in packed blocks: a million of them cost the memory of a compressed file. Pure.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from msgspec import Struct

from bus.refusal import quote
from bus.spec import JobSpec

ITEMS_MAX = 1_000_000
ITEM_BYTES_MAX = 4_096
"""As long as a path may be."""

BYTES_MAX = 128 * 2**20
"""Of the text of one list."""

BLOCK_ITEMS = 1_000
_LEVEL = 1  # twice the work makes names of files hardly smaller
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_UNDOUBTED = ITEM_BYTES_MAX // 4  # characters, of four bytes at most


READING_S = 90.0
"""How long a submission that points to a list may take: the coordinator reads it meanwhile."""


class ListFault(ValueError):
    """What is wrong with a list, and in which line of it (0: in all of it)."""

    def __init__(self, code: str, message: str, *, line: int = 0, got: str = "", expected: str = "") -> None:
        self.code, self.line, self.got, self.expected = code, line, got, expected
        self.what = message
        super().__init__(f"line {line}: {message}" if line else message)


class ItemList(Struct, frozen=True):
    """`count` items; each of the `blocks` has BLOCK_ITEMS of them, the last one what is left.

    Without blocks it only says how many there are.
    """

    count: int
    blocks: tuple[bytes, ...] = ()

    @property
    def packed_bytes(self) -> int:
        """What it costs to keep."""
        return sum(map(len, self.blocks))

    def at(self, position: int) -> str:
        """Raises IndexError beyond the end, and where it only says how many there are."""
        block, place = divmod(position, BLOCK_ITEMS)
        return _unpack(self.blocks[block])[place]

    def first(self, limit: int) -> list[str]:
        """So many of them, or all."""
        items = (item for block in self.blocks for item in _unpack(block))
        return list(islice(items, limit))


class ItemReader:
    """`feed` it the text of a list in pieces of any size, then `finish`. Both raise ListFault."""

    def __init__(self) -> None:
        self._rest = b""  # a line that is not whole yet
        self._line = 0
        self._bytes = 0
        self._count = 0
        self._open: list[str] = []
        self._blocks: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """More of the text."""
        self._bytes += len(piece)
        if self._bytes > BYTES_MAX:
            raise ListFault("E_TOO_LARGE", "the list is too long", expected=f"at most {BYTES_MAX} bytes")
        whole, newline, rest = piece.rpartition(b"\n")
        if newline:
            self._take(self._rest + whole)
            self._rest = rest
        else:
            self._rest += rest
        if len(self._rest) > ITEM_BYTES_MAX + 1:
            raise _too_long(self._line + 1, f"more than {ITEM_BYTES_MAX} bytes")

    def finish(self) -> ItemList:
        """What it was."""
        self._take(self._rest)
        if not self._count:
            raise ListFault("E_ARRAY", "no item in the list", expected="an item a line")
        if self._count > ITEMS_MAX:
            got, expected = f"{self._count} items", f"at most {ITEMS_MAX}"
            raise ListFault("E_ARRAY", "too many items in the list", got=got, expected=expected)
        if self._open:
            self._blocks.append(_pack(self._open))
        return ItemList(self._count, tuple(self._blocks))

    def _take(self, lines: bytes) -> None:
        """Whole lines."""
        try:
            text = lines.decode()
        except UnicodeDecodeError as error:
            line = self._line + lines.count(b"\n", 0, error.start) + 1
            got = quote(lines[max(error.start - 20, 0) : error.start + 20].decode(errors="replace"))
            raise ListFault("E_ENCODING", "not UTF-8", line=line, got=got) from None
        found = text.replace("\r\n", "\n").removesuffix("\r").split("\n")
        if any(len(item) > _UNDOUBTED for item in found) or _CONTROL.search("\n".join(found)):
            for number, item in enumerate(found, self._line + 1):
                check_item(item, number)
        self._line += len(found)
        found = [item for item in found if item.strip()]
        self._count += len(found)
        if self._count > ITEMS_MAX:
            return  # only counted
        self._open += found
        while len(self._open) >= BLOCK_ITEMS:
            self._blocks.append(_pack(self._open[:BLOCK_ITEMS]))
            del self._open[:BLOCK_ITEMS]


def points(spec: JobSpec) -> bool:
    """Whether the coordinator has to read a list before it can answer."""
    return any(isinstance(entry.for_each, str) for entry in (spec, *(spec.tasks or ())))


def text_of(items: Sequence[str]) -> bytes:
    """The list as a text that means just these items. Raises ListFault, whose line is the item's number."""
    for number, item in enumerate(items, 1):
        check_item(item, number)
        if not item.strip():
            raise ListFault("E_ARRAY", "an empty item", line=number, expected="an item")
    return ("\n".join(items) + "\n").encode()


def check_item(item: str, number: int) -> None:
    """Raises ListFault for what no line may hold."""
    if len(item) > _UNDOUBTED and len(item.encode()) > ITEM_BYTES_MAX:
        raise _too_long(number, f"{len(item.encode())} bytes")
    if _CONTROL.search(item) or "\n" in item:
        message, expected = "control characters in an item", "visible ones"
        raise ListFault("E_ARRAY", message, line=number, got=quote(item), expected=expected)


def _too_long(number: int, got: str) -> ListFault:
    expected = f"at most {ITEM_BYTES_MAX} bytes"
    return ListFault("E_ARRAY", "an item is too long", line=number, got=got, expected=expected)


def _pack(items: Sequence[str]) -> bytes:
    return zlib.compress("\n".join(items).encode(), _LEVEL)


@lru_cache(maxsize=16)
def _unpack(block: bytes) -> tuple[str, ...]:
    """Tasks start one after the other: what was unpacked for one serves the next thousand."""
    return tuple(zlib.decompress(block).decode().split("\n"))
