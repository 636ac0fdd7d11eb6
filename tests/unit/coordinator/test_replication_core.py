"""Where copies should be, of facts alone: any order of losses and returns ends with enough of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.values import NodeName
from coordinator.core.replication import (
    TRIES_MAX,
    Content,
    Copy,
    Plan,
    ReplicaState,
    Site,
    choose_holder,
    plan,
    plan_all,
)

A, B, C, D = map(NodeName, "abcd")
HASH = "ab" * 32
ACTIVE, OUT_OF_SYNC, FAILED = ReplicaState


def sites(*names: str, gone: str = "", closed: str = "", **where: str) -> dict[NodeName, Site]:
    return {
        NodeName(name): Site(
            name=NodeName(name),
            is_there=name not in gone,
            takes=name not in gone + closed,
            where=where.get(name, ""),
            room_bytes=1000,
        )
        for name in names
    }


def content(
    holders: str, *, primary: str | None = None, copies: int = 1, size: int = 10, **places: ReplicaState
) -> Content:
    return Content(
        sha256=HASH,
        size=size,
        copies=copies,
        holders=frozenset(map(NodeName, holders)),
        primary=NodeName(primary) if primary else None,
        places=tuple([Copy(node=NodeName(node), state=state) for node, state in places.items()]),
    )


def test_what_was_just_made_gets_its_copies() -> None:
    made = plan(content("a"), sites("a", "b"))
    assert (made.primary, made.places, made.ordered, made.lacking) == (A, {B: OUT_OF_SYNC}, (B,), 1)
    assert plan(content("a", copies=0), sites("a", "b")).places == {}


def test_what_is_there_is_left_alone() -> None:
    made = plan(content("ab", primary="a", b=ACTIVE), sites("a", "b", "c"))
    assert (made.places, made.ordered, made.drop, made.lacking) == ({B: ACTIVE}, (), (), 0)


def test_a_copy_that_came_becomes_active_and_an_order_is_kept_where_it_is() -> None:
    assert plan(content("ab", primary="a", b=OUT_OF_SYNC), sites("a", "b")).places == {B: ACTIVE}
    assert plan(content("a", primary="a", c=OUT_OF_SYNC), sites("a", "b", "c")).places == {C: OUT_OF_SYNC}


def test_a_damaged_copy_is_repaired_where_it_was() -> None:
    made = plan(content("a", primary="a", c=ACTIVE), sites("a", "b", "c"))
    assert made.places == {C: OUT_OF_SYNC}


def test_a_damaged_primary_is_repaired_from_the_copy_that_takes_its_part() -> None:
    made = plan(content("b", primary="a", b=ACTIVE), sites("a", "b", "c"))
    assert (made.primary, made.places) == (B, {A: OUT_OF_SYNC})


def test_a_node_that_is_gone_is_replaced_and_dropped_again_when_it_returns() -> None:
    made = plan(content("ab", primary="a", b=ACTIVE), sites("a", "b", "c", gone="b"))
    assert made.places == {B: FAILED, C: OUT_OF_SYNC}
    made = plan(content("abc", primary="a", b=FAILED, c=ACTIVE), sites("a", "b", "c"))
    assert (made.places, made.drop) == ({B: ACTIVE}, (C,))


def test_a_primary_that_is_gone_hands_over_and_is_remembered() -> None:
    made = plan(content("ab", primary="a", b=ACTIVE), sites("a", "b", "c", gone="a"))
    assert (made.primary, made.places) == (B, {A: FAILED, C: OUT_OF_SYNC})
    made = plan(content("abc", primary="b", a=FAILED, c=ACTIVE), sites("a", "b", "c"))
    assert (made.primary, made.places, made.drop) == (B, {A: ACTIVE}, (C,))


def test_a_place_that_is_gone_for_good_is_forgotten_once_there_are_enough() -> None:
    assert plan(content("ac", primary="a", b=FAILED, c=ACTIVE), sites("a", "c")).places == {C: ACTIVE}


def test_who_does_not_manage_it_is_tried_so_often_and_then_another() -> None:
    tried = Content(
        sha256=HASH,
        size=10,
        copies=1,
        holders=frozenset({A}),
        primary=A,
        places=(Copy(node=B, state=OUT_OF_SYNC, tries=TRIES_MAX),),
    )
    assert plan(tried, sites("a", "b", "c")).places == {B: FAILED, C: OUT_OF_SYNC}
    assert plan(tried, sites("a", "b")).places == {B: FAILED}


def test_copies_are_kept_apart_and_on_nodes_for_storage() -> None:
    where = sites("a", "b", "c", "d", a="r1", b="r1", c="r2", d="r2")
    where[D].for_storage = True
    assert plan(content("a", copies=1), where).ordered == (D,)
    where = sites("a", "b", "c", "d", a="r1", b="r1", c="r2", d="r1")
    where[B].for_storage = True
    assert plan(content("a", copies=2), where).ordered == (C, B)


def test_of_too_many_those_in_other_places_stay() -> None:
    held = content("abcd", primary="a", b=ACTIVE, c=ACTIVE, d=ACTIVE)
    made = plan(held, sites("a", "b", "c", "d", a="r1", b="r1", c="r2", d="r1"))
    assert (made.places, made.drop) == ({C: ACTIVE}, (B, D))


def test_what_somebody_else_put_there_is_not_dropped() -> None:
    made = plan(content("abc", primary="a", b=ACTIVE), sites("a", "b", "c"))
    assert (made.places, made.drop) == ({B: ACTIVE}, ())


def test_closed_and_full_nodes_get_nothing_and_orders_spread() -> None:
    where = sites("a", "b", "c", "d", closed="b")
    where[C].room_bytes = 9
    assert plan(content("a"), where).ordered == (D,)
    assert [made.ordered for made in plan_all([content("a")] * 3, sites("a", "b", "c"))] == [(B,), (C,), (B,)]
    tight = sites("a", "b")
    tight[B].room_bytes = 15
    assert [made.ordered for made in plan_all([content("a")] * 2, tight)] == [(B,), ()]


def test_what_nobody_has_is_lost_or_only_away() -> None:
    made = plan(content("", primary="a", b=ACTIVE, c=ACTIVE), sites("a", "b", "c", gone="c"))
    assert (made.primary, made.is_lost, made.lacking) == (None, True, 2)
    assert made.places == {B: OUT_OF_SYNC, C: FAILED}
    assert made.ordered == (B,)
    assert not plan(content("a", primary="a"), sites("a", "b", gone="a")).is_lost
    assert not plan(content("d"), sites("a", "b")).is_lost


def test_who_sends_has_most_and_sends_least() -> None:
    where = sites("a", "b", "c", "d", gone="d")
    holders = {"x": frozenset({A, B, D}), "y": frozenset({B, C}), "z": frozenset({D})}

    def chosen(*wanted: str, asker: NodeName = D, avoid: str = "") -> object:
        return choose_holder(wanted, holders, sites=where, asker=asker, avoid=frozenset(map(NodeName, avoid)))

    assert chosen("x", "y", "z") == (B, ("x", "y"))
    assert chosen("x", avoid="b") == (A, ("x",))
    assert chosen("x", asker=A) == (B, ("x",))
    where[A].ordered = 1
    assert chosen("x") == (B, ("x",))
    assert chosen("z") is None
    assert chosen("unknown") is None
    assert (
        choose_holder(["q"], {"q": frozenset({NodeName("new")})}, sites=where, asker=A, avoid=frozenset())
        is None
    )


NAMES = "abcdef"


@settings(max_examples=300)
@given(
    st.integers(0, 3),
    st.lists(
        st.tuples(st.sampled_from(["gone", "back", "damage", "wipe"]), st.sampled_from(NAMES)), max_size=25
    ),
)
def test_losses_and_returns_in_any_order_end_with_enough_copies(
    copies: int, steps: list[tuple[str, str]]
) -> None:
    """As long as a good copy is left at every moment, none is dropped that is needed, and none made twice."""
    holders, gone = {A}, set[str]()
    primary: NodeName | None = None
    rows: dict[NodeName, ReplicaState] = {}

    def round_() -> Plan:
        nonlocal primary, rows
        held = Content(
            sha256=HASH,
            size=1,
            copies=copies,
            holders=frozenset(holders),
            primary=primary,
            places=tuple([Copy(node=node, state=state) for node, state in rows.items()]),
        )
        made = plan(held, sites(*NAMES, gone="".join(gone)))
        if made.primary is not None:
            primary, rows = made.primary, made.places
            assert primary not in rows
        holders.difference_update(made.drop)
        holders.update(node for node in made.ordered if made.primary is not None)
        return made

    for what, name in steps:
        node = NodeName(name)
        there = holders - {NodeName(each) for each in gone}
        match what:
            case "gone" if there - {node}:
                gone.add(name)
            case "back":
                gone.discard(name)
            case "damage" | "wipe" if there - {node}:
                holders.discard(node)
        round_()
    gone.clear()
    for _ in range(3):
        made = round_()
    assert made.primary in holders and made.lacking == 0 and not made.drop and not made.ordered
    assert set(made.places.values()) <= {ACTIVE} and len(made.places) == copies
    assert len(holders) == copies + 1
