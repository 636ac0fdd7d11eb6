"""Whether there is room in the content store, and what goes to make some."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.keeping import Kept, Limits, Room, make_room, unused


def kept(name: str, size: int = 10, *, at: float = 0.0, pinned: bool = False) -> Kept:
    return Kept(sha256=name, size=size, used_at=at, pinned=pinned)


def room(wanted: int, *blobs: Kept, free: int = 1000, reserved: int = 0, store: int | None = None) -> Room:
    return make_room(wanted, blobs, reserved=reserved, free=free, limits=Limits(store=store, keep_free=100))


def test_there_is_room() -> None:
    assert room(900) == Room()
    assert room(10, kept("a", 40), store=50) == Room()


def test_the_disk_keeps_some_for_others() -> None:
    assert room(901) == Room(lacking=1)
    assert room(801, reserved=100) == Room(lacking=1)


def test_what_is_not_pinned_goes_oldest_first() -> None:
    blobs = (kept("new", at=3.0), kept("old", at=1.0), kept("pinned", pinned=True), kept("middle", at=2.0))
    assert room(30, *blobs, store=55) == Room(evict=("old", "middle"))
    assert room(900, *blobs, free=985) == Room(evict=("old", "middle"))


def test_nothing_goes_where_it_would_not_help() -> None:
    assert room(100, kept("a"), kept("b", pinned=True), store=100) == Room(lacking=10)


def test_unused_are_old_and_unpinned() -> None:
    blobs = (kept("b", at=1.0), kept("a", at=1.0), kept("new", at=9.0), kept("pinned", pinned=True))
    assert unused(blobs, before=5.0) == ("a", "b")


blobs_drawn = st.lists(
    st.builds(kept, st.uuids().map(str), st.integers(0, 50), at=st.floats(0, 9), pinned=st.booleans()),
    max_size=8,
)


@given(blobs_drawn, st.integers(0, 200), st.integers(0, 300), st.integers(0, 50), st.integers(0, 300))
def test_what_is_promised_holds(blobs: list[Kept], wanted: int, free: int, reserved: int, store: int) -> None:
    found = room(wanted, *blobs, free=free, reserved=reserved, store=store)
    by_name = {blob.sha256: blob for blob in blobs}
    gone = [by_name[name] for name in found.evict]
    assert not any(blob.pinned for blob in gone)
    freed = sum(blob.size for blob in gone)
    fits_disk = free + freed - reserved - wanted >= 100
    fits_store = sum(blob.size for blob in blobs) - freed + reserved + wanted <= store
    assert (found.lacking == 0) == (fits_disk and fits_store)
    if found.lacking:
        assert not gone
