"""Finding lines in output: what is asked and answered, and the search itself, pure and of linear time.

A pattern is plain words; `*` stands for anything in between, within the line. There are no regular
expressions on purpose: none of these patterns can take longer than the output is long.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bus.requests import Request
from bus.values import Stream

PATTERN_CHARS_MAX = 512
MATCHES_MAX = 1_000
CONTEXT_MAX = 20
TEXT_BYTES_MAX = 4_000
"""Of a longer line only the beginning is answered."""

STRETCH_BYTES_MAX = 64 * 1024
"""A longer line is searched in stretches of this size, as if each were a line: memory stays bounded."""


class LogGrep(Request):
    """Lines of a stream that match, from `offset` on, where a line begins; `attempt` 0 means the newest.

    `backward`: the nearest lines before `offset` instead, without context.
    """

    task: str
    pattern: str
    stream: Stream = Stream.STDOUT
    attempt: int = 0
    offset: int = 0
    exact_case: bool = False
    backward: bool = False
    context: int = 0  # lines before and after each match, 0 to 20
    limit: int = 100  # matches, 1 to 1,000


class FoundLine(Struct, kw_only=True):
    """`offset` is where the line begins; `match` where it matched, None in a line of context."""

    offset: int
    text: bytes
    match: int | None = None


class Grep(Struct, kw_only=True):
    """`lines` by offset. `next` is where to go on; `over`: there is nothing more to search by now.

    `complete`: the attempt has ended too, and no later question can find more.
    """

    task: str
    attempt: int
    node: str
    stream: Stream
    lines: list[FoundLine] = []
    next: int = 0
    size: int = 0
    over: bool = False
    complete: bool = False


class Span(Struct, frozen=True):
    """A matching line of a block: [begin, end) without its line feed; `match` lies within."""

    begin: int
    end: int
    match: int


class Pattern:
    """Words, and `*` for anything between them. Raises ValueError where there is no word, or too much."""

    def __init__(self, text: str, *, exact_case: bool = False) -> None:
        if len(text) > PATTERN_CHARS_MAX:
            raise ValueError(f"a pattern has at most {PATTERN_CHARS_MAX} characters")
        folded = text if exact_case else text.casefold()
        self._words = [word for word in folded.split("*") if word]
        if not self._words:
            raise ValueError("a pattern needs at least one character besides *")
        self._parts = [word.encode("utf-8", "surrogatepass") for word in self._words]
        self._exact = exact_case
        # ASCII letters fold byte by byte; the others only as text, line by line
        self._by_bytes = exact_case or all(word.isascii() for word in self._words)

    def matches(self, text: str) -> bool:
        """Whether a line of text matches."""
        hay, at = text if self._exact else text.casefold(), 0
        for word in self._words:
            if (found := hay.find(word, at)) < 0:
                return False
            at = found + len(word)
        return True

    def spans(self, block: bytes, start: int = 0) -> Iterator[Span]:
        """The matching lines of `block` that begin at or after `start`, where one begins."""
        if not self._by_bytes:
            yield from self._spans_of_text(block, start)
            return
        hay, first = block if self._exact else block.lower(), self._parts[0]
        while (found := hay.find(first, start)) >= 0:
            begin = hay.rfind(b"\n", start, found) + 1 or start
            end = hay.find(b"\n", found)
            end = len(hay) if end < 0 else end
            if self._rest_follows(hay, found + len(first), end):
                yield Span(begin, end, found)
            start = end + 1

    def _rest_follows(self, hay: bytes, at: int, end: int) -> bool:
        for part in self._parts[1:]:
            if (found := hay.find(part, at, end)) < 0:
                return False
            at = found + len(part)
        return True

    def _spans_of_text(self, block: bytes, start: int) -> Iterator[Span]:
        while start < len(block):
            end = block.find(b"\n", start)
            end = len(block) if end < 0 else end
            if self.matches(block[start:end].decode("utf-8", "replace")):
                yield Span(start, end, start)
            start = end + 1


class Gathering:
    """Takes a stream block by block, each of whole lines, and gathers what matches with its context."""

    def __init__(self, pattern: Pattern, *, context: int, limit: int, offset: int) -> None:
        self.lines: list[FoundLine] = []
        self.next = offset
        self._pattern = pattern
        self._context = context
        self._left = limit
        self._owed = 0
        self._lead = b""
        self._bytes = 0

    @property
    def text_bytes(self) -> int:
        """What the lines gathered so far take."""
        return self._bytes

    def take(self, block: bytes) -> bool:
        """The block at `next`. False once there are as many matches as were asked for."""
        base, begin = self.next - len(self._lead), len(self._lead)
        block = self._lead + block
        done = begin
        for span in self._pattern.spans(block, begin):
            done = self._pay(block, base, done, span.begin)
            before = self._before(block, span.begin, not_below=0 if done == begin else done)
            if self._left == 0:
                self.next, self._lead = base + before, b""
                return False
            self._say_lines(block, base, before, span.begin)
            self._say(block, base, span.begin, span.end, match=base + span.match)
            done, self._owed, self._left = span.end + 1, self._context, self._left - 1
        done = self._pay(block, base, done, len(block))
        self.next = base + len(block)
        begin = self._before(block, len(block), not_below=min(done, len(block)) if done > begin else 0)
        self._lead = block[begin:]
        return True

    def _before(self, block: bytes, at: int, *, not_below: int) -> int:
        """Where the context before the line at `at` begins: never in what was said already."""
        for _ in range(self._context):
            if at <= not_below:
                break
            at = max(not_below, block.rfind(b"\n", not_below, at - 1) + 1)
        return at

    def _pay(self, block: bytes, base: int, at: int, until: int) -> int:
        """Say the lines still owed after the last match, up to `until`; where that ends."""
        while self._owed and at < until:
            end = block.find(b"\n", at, until)
            end = until if end < 0 else end
            self._say(block, base, at, end)
            at, self._owed = end + 1, self._owed - 1
        return at

    def _say_lines(self, block: bytes, base: int, at: int, until: int) -> None:
        while at < until:
            end = block.find(b"\n", at, until)
            end = until if end < 0 else end
            self._say(block, base, at, end)
            at = end + 1

    def _say(self, block: bytes, base: int, begin: int, end: int, *, match: int | None = None) -> None:
        text = block[begin : min(end, begin + TEXT_BYTES_MAX)]
        self._bytes += len(text)
        self.lines.append(FoundLine(offset=base + begin, text=text, match=match))


def whole_lines(data: bytes, *, final: bool) -> int:
    """How many of these bytes are whole lines, or stretches of one too long; all of them at the end."""
    if final:
        return len(data)
    end = data.rfind(b"\n") + 1
    return end if end or len(data) < STRETCH_BYTES_MAX else len(data)
