"""Lines that match are found once each, with their context, however the output is cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.grep import STRETCH_BYTES_MAX, TEXT_BYTES_MAX, FoundLine, Gathering, Pattern, whole_lines


def found(
    data: bytes,
    text: str,
    *,
    exact_case: bool = False,
    context: int = 0,
    limit: int = 1_000,
    cuts: list[int] | None = None,
) -> list[FoundLine]:
    """All pages, as somebody would ask for them, the output coming in pieces that end at `cuts`."""
    lines: list[FoundLine] = []
    offset = 0
    while True:
        gathering = Gathering(
            Pattern(text, exact_case=exact_case), context=context, limit=limit, offset=offset
        )
        ends = sorted({cut for cut in cuts or [] if offset < cut < len(data)} | {len(data)})
        rest, at, goes_on = b"", offset, True
        for end in ends:
            rest, at = rest + data[at:end], end
            whole = whole_lines(rest, final=end == len(data))
            goes_on = gathering.take(rest[:whole])
            rest = rest[whole:]
            if not goes_on:
                break
        lines += gathering.lines
        if goes_on:
            return lines
        assert gathering.next > offset or not lines
        offset = gathering.next


def expected(data: bytes, text: str, *, exact_case: bool, context: int) -> list[tuple[int, bytes, bool]]:
    """The same, plainly: each line on its own."""
    words = text.split("*")
    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()

    def hits(row: bytes) -> bool:
        line = row.decode("utf-8", "replace")
        line, at = line if exact_case else line.lower(), 0
        for word in words:
            word = word if exact_case else word.lower()
            at = line.find(word, at)
            if at < 0:
                return False
            at += len(word)
        return True

    matched = [index for index, row in enumerate(rows) if hits(row)]
    shown = sorted({i for m in matched for i in range(m - context, m + context + 1) if 0 <= i < len(rows)})
    starts = [sum(len(row) + 1 for row in rows[:index]) for index in range(len(rows))]
    return [(starts[index], rows[index], index in matched) for index in shown]


TEXTS = st.lists(st.sampled_from(["a", "B", "ab", "\n", "\n", "x", "é", "É"]), max_size=60).map("".join)


@given(
    TEXTS,
    st.sampled_from(["a", "ab", "A*x", "b*b", "é", "*a*"]),
    st.booleans(),
    st.integers(0, 3),
    st.integers(1, 4),
    st.lists(st.integers(0, 80), max_size=5),
)
def test_any_blocks_and_any_pages_find_what_a_slow_search_finds(
    text: str, pattern: str, exact_case: bool, context: int, limit: int, cuts: list[int]
) -> None:
    data = text.encode()
    lines = found(data, pattern, exact_case=exact_case, context=context, limit=limit, cuts=cuts)
    told = [(line.offset, line.text, line.match is not None) for line in lines]
    assert told == expected(data, pattern, exact_case=exact_case, context=context)
    for line in lines:
        assert line.match is None or line.offset <= line.match <= line.offset + len(line.text)


def test_a_star_stays_within_its_line() -> None:
    assert found(b"begin\nend\n", "begin*end") == []
    (line,) = found(b"x\nbegin of the end\n", "begin*end")
    assert (line.offset, line.match) == (2, 2)


def test_what_no_pattern_is_is_refused() -> None:
    for text in ("", "*", "***"):
        with pytest.raises(ValueError, match="at least one character"):
            Pattern(text)


def test_a_text_and_a_block_are_matched_alike() -> None:
    assert Pattern("STRASSE*x").matches("Straße, x")
    assert not Pattern("Loss*nan", exact_case=True).matches("loss is nan")


def test_bytes_that_are_no_text_do_no_harm() -> None:
    (line,) = found(b"\xff\xfe\x00needle\x80\n", "needle")
    assert line.match == 3
    assert len(found(b"\xff\xc3\n\xc3\xa9\n", "é")) == 1


def test_one_endless_line_is_searched_in_bounded_stretches() -> None:
    data = b"y" * (5 * STRETCH_BYTES_MAX) + b"needle" + b"y" * 10
    cuts = list(range(0, len(data), STRETCH_BYTES_MAX // 2))
    (line,) = found(data, "needle", cuts=cuts)
    assert line.match == 5 * STRETCH_BYTES_MAX
    assert len(line.text) <= TEXT_BYTES_MAX


def test_what_brings_other_engines_to_their_knees_is_searched_at_once() -> None:
    """A backtracking engine would not come back from this one."""
    data = (b"a" * 2_000 + b"\n") * 50
    assert found(data, "*".join("a" * 250) + "*b") == []
    assert len(found(data, "*".join("a" * 250))) == 50
