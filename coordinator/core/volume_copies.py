"""Where the copies of a volume should be, and who becomes the primary when its node is lost. Pure.

A volume of a replicated pool lies on its primary, where tasks have it, and as a sealed file in places beside
that. A place is active where it has the newest sealed file, out of sync where it is to fetch that, and failed
where its node is lost: then another node gets one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from msgspec import Struct
from msgspec.structs import replace

from coordinator.core.replication import ReplicaState


class Disk(Struct, kw_only=True):
    """A node's part of the pool. `lost`: nobody waits for the node any more. `there`: it answers.

    `takes`: it may be given more; `left_mib` shrinks with what it is given.
    """

    lost: bool = False
    there: bool = True
    takes: bool = True
    left_mib: int = 0


class Place(Struct, frozen=True, kw_only=True):
    """`sha256`: what it has, as it said last. `removing`: it is to let go of it."""

    node: str
    state: ReplicaState = ReplicaState.OUT_OF_SYNC
    sha256: str = ""
    generation: int = 0
    removing: bool = False
    fault: str = ""


class Copied(Struct, frozen=True, kw_only=True):
    """A volume. `sha256`: its newest sealed file that is known of; it should have so many `copies`."""

    primary: str
    sha256: str
    size_mib: int
    copies: int
    places: tuple[Place, ...] = ()


def plan_places(volume: Copied, disks: Mapping[str, Disk]) -> dict[str, Place]:
    """All places from now on, by node; of `disks`, `left_mib` shrinks by what is newly given."""
    found = {each.node: judged(each, volume, disks) for each in volume.places}
    for each in found.values():
        if each.removing and _lacking(found, volume) > 0 and _is_usable(each.node, disks):
            found[each.node] = replace(each, removing=False)
    while (
        _lacking(found, volume) > 0
        and (node := roomiest(disks, volume.size_mib, but={volume.primary, *found})) is not None
    ):
        found[node] = Place(node=node)
        disks[node].left_mib -= volume.size_mib
    for name in _surplus(found, volume.copies):
        found[name] = replace(found[name], removing=True)
    return found


def judged(place: Place, volume: Copied, disks: Mapping[str, Disk]) -> Place:
    """A place with the state that it has now."""
    disk = disks.get(place.node)
    if disk is None or disk.lost:
        return replace(place, state=ReplicaState.FAILED)
    is_newest = place.sha256 == volume.sha256 != ""
    return replace(place, state=ReplicaState.ACTIVE if is_newest else ReplicaState.OUT_OF_SYNC)


def next_primary(volume: Copied, disks: Mapping[str, Disk], *, newest: bool = True) -> Place | None:
    """Who takes over: a place that is there and has the newest; not `newest`: the best that has any."""
    able = [
        place
        for place in volume.places
        if place.sha256 and not place.removing and place.node in disks and disks[place.node].there
    ]
    if newest:
        able = [place for place in able if place.sha256 == volume.sha256]
    return max(able, key=lambda place: (place.generation, place.node), default=None)


def roomiest(disks: Mapping[str, Disk], size_mib: int, *, but: Container[str]) -> str | None:
    """The usable node with most room that is none of `but`; of equals the first by name."""
    fit = [
        (-disk.left_mib, node)
        for node, disk in disks.items()
        if node not in but and _is_usable(node, disks) and disk.left_mib >= size_mib
    ]
    return min(fit)[1] if fit else None


def _lacking(places: Mapping[str, Place], volume: Copied) -> int:
    """How many places more are wanted."""
    good = sum(not each.removing and each.state is not ReplicaState.FAILED for each in places.values())
    return volume.copies - good


def _is_usable(node: str, disks: Mapping[str, Disk]) -> bool:
    return node in disks and disks[node].there and disks[node].takes and not disks[node].lost


def _surplus(places: Mapping[str, Place], copies: int) -> list[str]:
    """What is more than wanted, once all that is wanted is active."""
    kept = sorted(
        each.node for each in places.values() if each.state is ReplicaState.ACTIVE and not each.removing
    )[:copies]
    if len(kept) < copies:
        return []
    return [each.node for each in places.values() if each.node not in kept and not each.removing]
