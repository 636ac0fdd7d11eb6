"""What is done next about a volume, rule by rule; and that following the rules comes to an end."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.volumes import Deed, Seen, Step, next_step
from bus.volume_wire import CopyOf, SnapshotKept, VolumeWanted

WANTED = VolumeWanted(id="v", pool="p", name="data", size_mib=1)
REPLICA = replace(WANTED, primary=False, sha256="new", generation=2)
THERE = Seen(exists=True, packs=True, sha256="old")
AWAY = Seen(exists=False)


def test_a_volume_that_is_not_there_is_made_where_tasks_write_to_it() -> None:
    assert next_step(WANTED, AWAY) == Step(Deed.MAKE)
    assert next_step(None, AWAY) is None


def test_a_replica_is_fetched_once_there_is_something_to_fetch() -> None:
    assert next_step(replace(REPLICA, sha256=""), AWAY) is None
    assert next_step(REPLICA, AWAY) == Step(Deed.FETCH)
    assert next_step(REPLICA, THERE) == Step(Deed.FETCH)
    assert next_step(REPLICA, replace(THERE, uses=1)) is None  # who reads the older one goes on with it
    assert next_step(REPLICA, replace(THERE, sha256="new")) is None
    assert next_step(replace(REPLICA, sha256=""), THERE) is None


def test_a_primary_that_is_lost_here_is_brought_and_never_made_anew() -> None:
    lost = replace(WANTED, sha256="new", content=CopyOf(volume="v", snapshot="s", number=7), filled=7)
    assert next_step(lost, AWAY) == Step(Deed.FETCH)
    assert next_step(lost, replace(THERE, filled=7)) is None, "what is here is newer than what was told of it"


def test_snapshots_of_other_nodes_are_brought_after_the_content() -> None:
    kept = (SnapshotKept(id="a", sha256="x", size=1), SnapshotKept(id="b", sha256="y", size=1))
    wanted = replace(REPLICA, kept=kept)
    assert next_step(wanted, replace(THERE, snapshots=frozenset("a"))) == Step(Deed.FETCH)
    fresh = replace(THERE, sha256="new", snapshots=frozenset("a"))
    assert next_step(wanted, fresh) == Step(Deed.BRING, "b")
    assert next_step(replace(wanted, primary=True), fresh) == Step(Deed.BRING, "b")
    assert next_step(wanted, replace(fresh, snapshots=frozenset("ab"))) is None


def test_what_is_removed_goes_when_nobody_has_it() -> None:
    removed = replace(WANTED, removed=True)
    assert next_step(removed, THERE) == Step(Deed.REMOVE)
    assert next_step(removed, replace(THERE, uses=1)) is None
    assert next_step(removed, AWAY) is None


def test_it_is_filled_once_when_nobody_has_it() -> None:
    filled = replace(WANTED, content=CopyOf(volume="v", snapshot="s", number=7))
    assert next_step(filled, AWAY) == Step(Deed.FILL, "s")
    assert next_step(filled, replace(THERE, filled=6)) == Step(Deed.FILL, "s")
    assert next_step(filled, replace(THERE, filled=6, uses=1)) is None
    assert next_step(filled, replace(THERE, filled=7)) is None


def test_what_was_written_is_sealed_when_no_writer_is_left() -> None:
    changed = replace(THERE, live=True, changed=True)
    for wanted in (None, WANTED):
        assert next_step(wanted, replace(changed, uses=1, writers=1)) is None
        assert next_step(wanted, replace(changed, uses=1)) == Step(Deed.SEAL)
        assert next_step(wanted, replace(changed, changed=False, uses=1)) is None
        assert next_step(wanted, replace(changed, changed=False)) == Step(Deed.PUT_AWAY)
        assert next_step(wanted, replace(changed, packs=False)) is None


def test_snapshots_are_taken_between_writers() -> None:
    wanted = replace(WANTED, snapshots=("a", "b"))
    assert next_step(wanted, THERE) == Step(Deed.SNAPSHOT, "a")
    assert next_step(wanted, replace(THERE, snapshots=frozenset("a"))) == Step(Deed.SNAPSHOT, "b")
    assert next_step(wanted, replace(THERE, uses=2, writers=1)) is None
    assert next_step(wanted, replace(THERE, snapshots=frozenset("ab"))) is None
    assert next_step(replace(wanted, primary=False), THERE) is None


def test_snapshots_are_dropped() -> None:
    wanted = replace(WANTED, dropped=("a", "b"))
    assert next_step(wanted, replace(THERE, snapshots=frozenset("b"))) == Step(Deed.DROP, "b")
    assert next_step(wanted, THERE) is None


def test_a_snapshot_is_packed_for_others_as_long_as_they_want_it() -> None:
    plain = replace(THERE, packs=False, snapshots=frozenset("ab"))
    wanted = replace(WANTED, packed=("a", "b", "c"))
    assert next_step(wanted, plain) == Step(Deed.PACK, "a")
    assert next_step(wanted, replace(plain, packed=frozenset("a"))) == Step(Deed.PACK, "b")
    assert next_step(wanted, replace(plain, packed=frozenset("ab"))) is None, "c is not taken yet"
    assert next_step(WANTED, replace(plain, packed=frozenset("ba"))) == Step(Deed.UNPACK, "a")
    assert next_step(wanted, replace(plain, packs=True)) is None, "they lie there as sealed files anyway"
    assert next_step(replace(wanted, primary=False), plain) == Step(Deed.PACK, "a")


def test_what_is_damaged_is_fetched_sealed_or_filled_again_and_else_left() -> None:
    damaged = replace(THERE, damaged=True)
    assert next_step(WANTED, damaged) is None
    assert next_step(None, damaged) is None
    assert next_step(replace(WANTED, sha256="old"), damaged) == Step(Deed.FETCH), "another node has it"
    assert next_step(replace(REPLICA, sha256="old"), damaged) == Step(Deed.FETCH)
    reading = replace(damaged, live=True, uses=1)
    assert next_step(WANTED, reading) == Step(Deed.SEAL), "the folder has all of it"
    assert next_step(replace(WANTED, sha256="old"), replace(reading, writers=1)) is None
    content = CopyOf(volume="v", snapshot="s", number=1)
    assert next_step(replace(WANTED, content=content), damaged) == Step(Deed.FILL, "s")
    assert next_step(replace(WANTED, removed=True), damaged) == Step(Deed.REMOVE)
