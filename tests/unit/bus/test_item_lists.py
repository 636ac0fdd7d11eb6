"""Lists of items: whatever pieces their text comes in, what they mean, and what none may hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import item_lists
from bus.item_lists import (
    BLOCK_ITEMS,
    ITEM_BYTES_MAX,
    ITEMS_MAX,
    ItemList,
    ItemReader,
    ListFault,
    points,
    text_of,
)
from bus.spec import JobSpec, TaskSpec

ITEMS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


def read(text: bytes, *, piece: int = 100_000) -> ItemList:
    reader = ItemReader()
    for start in range(0, len(text), piece):
        reader.feed(text[start : start + piece])
    return reader.finish()


def fault_of(text: bytes, *, piece: int = 100_000) -> tuple[str, int, str]:
    with pytest.raises(ListFault) as caught:
        read(text, piece=piece)
    return caught.value.code, caught.value.line, caught.value.got


@given(items=st.lists(ITEMS, min_size=1), piece=st.integers(1, 50))
def test_a_list_means_its_items_in_whatever_pieces_it_comes(items: list[str], piece: int) -> None:
    found = read(text_of(items), piece=piece)
    assert found.count == len(items)
    assert [found.at(position) for position in range(found.count)] == items
    assert found.first(2) == items[:2]


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_lines_of_other_systems_and_empty_ones(piece: int) -> None:
    found = read(b"\xef\xbb a b\r\n\r\n  c\n\n \nd".removeprefix(b"\xef\xbb"), piece=piece)
    assert found.first(9) == [" a b", "  c", "d"]


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", ("E_ARRAY", 0, "")),
        (b"\n \n", ("E_ARRAY", 0, "")),
        (b"a\n\nb\x1b[2J\n", ("E_ARRAY", 3, "'b\\x1b[2J'")),
        (b"a\rb\n", ("E_ARRAY", 1, "'a\\rb'")),
        (b"a\nb\x00\nc", ("E_ARRAY", 2, "'b\\x00'")),
        ("a\nb\x85c\n".encode(), ("E_ARRAY", 2, "'b\\x85c'")),
        (b"a\n" + b"x" * (ITEM_BYTES_MAX + 1) + b"\n", ("E_ARRAY", 2, "")),
        (b"x" * (ITEM_BYTES_MAX + 9), ("E_ARRAY", 1, "")),
        ("é".encode() * (ITEM_BYTES_MAX // 2 + 1) + b"\n", ("E_ARRAY", 1, "")),
    ],
)
def test_what_no_list_may_hold(text: bytes, fault: tuple[str, int, str], piece: int) -> None:
    code, line, got = fault_of(text, piece=piece)
    assert (code, line) == fault[:2] and fault[2] in got


@pytest.mark.parametrize("piece", [1, 100])
def test_what_is_no_text(piece: int) -> None:
    assert fault_of(b"a\nb\n\xff\xfe\n", piece=piece)[:2] == ("E_ENCODING", 3)


def test_an_item_of_the_greatest_length() -> None:
    item = "é" * (ITEM_BYTES_MAX // 2)
    assert read(f"a\n{item}\nb".encode()).first(3) == ["a", item, "b"]
    assert read(f"{item}\r\n".encode(), piece=1_000).first(3) == [item]


def test_a_million_and_one_more() -> None:
    text = b"".join(b"f-%d.png\n" % number for number in range(ITEMS_MAX))
    found = read(text)
    assert (found.count, len(found.blocks)) == (ITEMS_MAX, ITEMS_MAX // BLOCK_ITEMS)
    assert [found.at(place) for place in (0, 999, 1_000, 654_321, 999_999)] == [
        "f-0.png", "f-999.png", "f-1000.png", "f-654321.png", "f-999999.png",
    ]  # fmt: skip
    assert found.packed_bytes < len(text) / 3
    with pytest.raises(IndexError):
        found.at(ITEMS_MAX)
    assert fault_of(text + b"one more") == ("E_ARRAY", 0, f"{ITEMS_MAX + 1} items")


def test_a_text_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_lists, "BYTES_MAX", 1_000)
    reader = ItemReader()
    reader.feed(b"\n" * 1_000)
    with pytest.raises(ListFault, match="too long") as caught:
        reader.feed(b"\n")
    assert caught.value.code == "E_TOO_LARGE"


def test_items_that_no_line_can_say() -> None:
    for items, line in ((["a", "b\nc"], 2), (["a", "b\r"], 2), ([""], 1), (["x", " "], 2)):
        with pytest.raises(ListFault) as caught:
            text_of(items)
        assert (caught.value.code, caught.value.line) == ("E_ARRAY", line)


def test_a_list_that_is_not_at_hand_still_says_how_many() -> None:
    with pytest.raises(IndexError):
        ItemList(7).at(0)
    assert ItemList(7).first(3) == [] and ItemList(7).packed_bytes == 0


def test_what_points_to_a_list() -> None:
    assert points(JobSpec(for_each="corral://a"))
    assert points(JobSpec(tasks=[TaskSpec(), TaskSpec(for_each="corral://a")]))
    assert not points(JobSpec(for_each=["corral://a"])) and not points(JobSpec(tasks=[TaskSpec()]))
