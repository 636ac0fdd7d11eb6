"""Where copies of a volume go, when they fail, and who takes over."""

from __future__ import annotations

from msgspec.structs import replace

from coordinator.core.replication import ReplicaState
from coordinator.core.volume_copies import Copied, Disk, Place, judged, next_primary, plan_places

ACTIVE, OUT_OF_SYNC, FAILED = ReplicaState.ACTIVE, ReplicaState.OUT_OF_SYNC, ReplicaState.FAILED
VOLUME = Copied(primary="n1", sha256="new", size_mib=10, copies=1)


def disks(**left_mib: int) -> dict[str, Disk]:
    return {name: Disk(left_mib=left) for name, left in left_mib.items()}


def place(node: str, sha256: str = "new", **more: object) -> Place:
    state = ACTIVE if sha256 == "new" else OUT_OF_SYNC
    return replace(Place(node=node, state=state, sha256=sha256), **more)


def states(volume: Copied, given: dict[str, Disk]) -> dict[str, tuple[str, bool]]:
    return {name: (each.state.value, each.removing) for name, each in plan_places(volume, given).items()}


def test_a_new_copy_goes_where_most_room_is_and_takes_it() -> None:
    given = disks(n1=90, n2=20, n3=30)
    assert states(VOLUME, given) == {"n3": ("out_of_sync", False)}
    assert given["n3"].left_mib == 20 and given["n2"].left_mib == 20
    assert states(replace(VOLUME, copies=2), disks(n1=90, n2=20, n3=30)).keys() == {"n2", "n3"}


def test_no_copy_goes_where_it_does_not_fit() -> None:
    assert states(VOLUME, disks(n1=90, n2=9)) == {}
    for reason in ({"lost": True}, {"there": False}, {"takes": False}):
        assert states(VOLUME, {"n2": replace(Disk(left_mib=99), **reason)}) == {}


def test_a_place_is_judged_by_what_it_has() -> None:
    given = disks(n1=1, n2=1)
    assert judged(place("n2"), VOLUME, given).state is ACTIVE
    assert judged(place("n2", "old"), VOLUME, given).state is OUT_OF_SYNC
    assert judged(place("n2", ""), replace(VOLUME, sha256=""), given).state is OUT_OF_SYNC
    assert judged(place("n2"), VOLUME, {"n2": Disk(lost=True)}).state is FAILED
    assert judged(place("n9"), VOLUME, given).state is FAILED, "no node of the pool any more"


def test_a_lost_copy_is_made_anew_and_goes_once_it_is_back() -> None:
    volume = replace(VOLUME, places=(place("n2"),))
    given = disks(n1=90, n2=90, n3=90)
    given["n2"].lost = True
    planned = plan_places(volume, given)
    assert [(each.node, each.state, each.removing) for each in planned.values()] == [
        ("n2", FAILED, False),
        ("n3", OUT_OF_SYNC, False),
    ]
    made = replace(volume, places=(planned["n2"], place("n3")))
    assert states(made, given) == {"n2": ("failed", True), "n3": ("active", False)}
    back = replace(volume, places=(place("n2", removing=True), place("n3")))
    assert states(back, disks(n1=90, n2=90, n3=90)) == {"n2": ("active", True), "n3": ("active", False)}


def test_no_copy_goes_before_another_has_taken_its_place() -> None:
    volume = replace(VOLUME, places=(place("n2"), place("n3", "old")))
    assert states(volume, disks(n1=1, n2=1, n3=1)) == {"n2": ("active", False), "n3": ("out_of_sync", True)}
    both_old = replace(VOLUME, places=(place("n2", "old"), place("n3", "old")))
    assert not any(going for _, going in states(both_old, disks(n1=1, n2=1, n3=1)).values())


def test_who_was_to_go_stays_where_it_is_needed_again() -> None:
    volume = replace(VOLUME, places=(place("n2", removing=True),))
    assert states(volume, disks(n1=1, n2=1)) == {"n2": ("active", False)}
    assert states(volume, {"n2": Disk(there=False)}) == {"n2": ("active", True)}


def test_the_newest_copy_takes_over() -> None:
    volume = replace(VOLUME, places=(place("n2", "old", generation=4), place("n3", generation=5)))
    given = disks(n2=1, n3=1)
    assert next_primary(volume, given) == volume.places[1]
    given["n3"].there = False
    assert next_primary(volume, given) is None, "what is older would lose what a task wrote"
    assert next_primary(volume, given, newest=False) == volume.places[0]
    assert next_primary(replace(volume, places=()), given, newest=False) is None
    going = replace(volume, places=(place("n2", removing=True), place("n3", "")))
    assert next_primary(going, disks(n2=1, n3=1), newest=False) is None
    assert next_primary(replace(volume, places=(place("n9"),)), given, newest=False) is None
