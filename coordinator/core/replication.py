"""Which nodes should have copies of content: whom to ask for one, and who may let go of theirs. Pure.

Content that is to survive its node has `copies` beside the one where it was made. Who has it, seen to be
right, is a holder; of those that count the primary is where it was made, or took that part over. Each other
place has a state, as its row has: active (a holder), out of sync (ordered, or damaged and to be repaired
there) or failed (its node is gone, or did not manage it): then another node gets one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from bus.values import NodeName

TRIES_MAX = 3
"""As often is a node asked for a copy that it does not manage, before another is."""


class ReplicaState(StrEnum):
    ACTIVE = "active"
    OUT_OF_SYNC = "out_of_sync"
    FAILED = "failed"


class Site(Struct, kw_only=True):
    """A node as copies see it. `is_there`: what it has counts. `takes`: it may be asked for more.

    `where`: what would be lost together, a rack or a room. `room_bytes` shrinks with what is ordered of
    it, and `ordered` counts that.
    """

    name: NodeName
    is_there: bool
    takes: bool
    where: str = ""
    for_storage: bool = False
    room_bytes: int = 0
    ordered: int = 0


class Copy(Struct, frozen=True, kw_only=True):
    """A place beside the primary, as its row has it. `tries`: how often it failed there."""

    node: NodeName
    state: ReplicaState
    tries: int = 0


class Content(Struct, frozen=True, kw_only=True):
    """`holders`: all that have it, also on nodes that are away.

    `primary` as the rows have it, if there are any.
    """

    sha256: str
    size: int
    copies: int
    holders: frozenset[NodeName]
    primary: NodeName | None = None
    places: tuple[Copy, ...] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """`places` beside `primary` (None: nobody has it that counts), and what the rows say of them from now on.

    `drop`: these hold more than is wanted. `lacking`: so many copies are not there yet. `is_lost`: no node
    has it, be it away or not.
    """

    sha256: str
    size: int
    primary: NodeName | None
    places: dict[NodeName, ReplicaState]
    drop: tuple[NodeName, ...] = ()
    lacking: int = 0
    is_lost: bool = False

    @property
    def ordered(self) -> tuple[NodeName, ...]:
        """Who is to fetch it."""
        return tuple(node for node, state in self.places.items() if state is ReplicaState.OUT_OF_SYNC)


def plan_all(contents: Iterable[Content], sites: Mapping[NodeName, Site]) -> list[Plan]:
    """One after the other: what is ordered of a node leaves less room there, and makes others come first."""
    return [plan(content, sites) for content in contents]


def plan(content: Content, sites: Mapping[NodeName, Site]) -> Plan:
    """Where it should be. Of `sites`, `room_bytes` and `ordered` are changed by what is newly ordered."""
    there = {node for node in content.holders if node in sites and sites[node].is_there}
    before = {place.node: place for place in content.places}
    if not there:
        places = {node: _without_source(node, sites) for node in before}
        return Plan(
            sha256=content.sha256,
            size=content.size,
            primary=None,
            places=places,
            lacking=content.copies + 1,
            is_lost=not content.holders,
        )
    primary = content.primary if content.primary in there else _first(there, before)
    former = content.primary if content.primary not in (None, primary) else None
    held = _apart([node for node in there if node != primary], primary, sites, before)
    kept, more = held[: content.copies], held[content.copies :]
    places = dict.fromkeys(kept, ReplicaState.ACTIVE)
    wanted = content.copies - len(kept)
    known = [*before.values(), *([Copy(node=former, state=ReplicaState.ACTIVE)] if former else [])]
    for place in known:
        if place.node in there:
            continue
        is_possible = place.tries < TRIES_MAX and place.node in sites and sites[place.node].is_there
        if is_possible and wanted > 0:
            places[place.node] = ReplicaState.OUT_OF_SYNC
            wanted -= 1
        elif not is_possible and (wanted > 0 or place.node in content.holders):
            places[place.node] = ReplicaState.FAILED
    used = {sites[node].where for node in (primary, *places) if node in sites}
    while wanted > 0 and (site := _next_site(content, sites, {primary, *places}, used)) is not None:
        places[site.name] = ReplicaState.OUT_OF_SYNC
        used.add(site.where)
        site.room_bytes -= content.size
        site.ordered += 1
        wanted -= 1
    return Plan(
        sha256=content.sha256,
        size=content.size,
        primary=primary,
        places=places,
        drop=tuple(node for node in more if node in before),
        lacking=content.copies - len(kept),
    )


def choose_holder(
    wanted: Iterable[str],
    holders: Mapping[str, frozenset[NodeName]],
    *,
    sites: Mapping[NodeName, Site],
    asker: NodeName,
    avoid: frozenset[NodeName],
) -> tuple[NodeName, tuple[str, ...]] | None:
    """Who sends, and what of `wanted`, in its order: the one that has most; of equals who sends least."""
    wanted = tuple(wanted)

    def rank(name: NodeName) -> tuple[int, int, str]:
        return -sum(name in holders.get(sha256, ()) for sha256 in wanted), sites[name].ordered, name

    having = {name for sha256 in wanted for name in holders.get(sha256, ())} - avoid - {asker}
    best = min((name for name in having if name in sites and sites[name].is_there), key=rank, default=None)
    if best is None:
        return None
    return best, tuple(sha256 for sha256 in wanted if best in holders.get(sha256, ()))


def _without_source(node: NodeName, sites: Mapping[NodeName, Site]) -> ReplicaState:
    is_there = node in sites and sites[node].is_there
    return ReplicaState.OUT_OF_SYNC if is_there else ReplicaState.FAILED


def _first(there: set[NodeName], before: Mapping[NodeName, Copy]) -> NodeName:
    """Who becomes the primary: a place that has a row before others."""
    return min(there, key=lambda node: (node not in before, node))


def _apart(
    nodes: list[NodeName],
    primary: NodeName,
    sites: Mapping[NodeName, Site],
    before: Mapping[NodeName, Copy],
) -> list[NodeName]:
    """The holders in the order in which they should stay: places far from each other first."""
    rest = sorted(nodes, key=lambda node: (node not in before, node))
    used, ordered = {sites[primary].where}, []
    while rest:
        node = next((node for node in rest if sites[node].where not in used), rest[0])
        rest.remove(node)
        used.add(sites[node].where)
        ordered.append(node)
    return ordered


def _next_site(
    content: Content, sites: Mapping[NodeName, Site], taken: set[NodeName], used: set[str]
) -> Site | None:
    fit = [
        site
        for site in sites.values()
        if site.is_there and site.takes and site.name not in taken and site.room_bytes >= content.size
    ]
    return min(
        fit,
        key=lambda site: (
            site.where in used,
            not site.for_storage,
            site.ordered,
            -site.room_bytes,
            site.name,
        ),
        default=None,
    )
