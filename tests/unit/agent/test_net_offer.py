"""The bandwidth that a node offers: declared, else measured, else said of its network; a share of that."""

from __future__ import annotations

import pytest

from agent.net_offer import UNKNOWN_MBPS, NetOffer
from bus.values import InterfaceInfo, NetworkTerms


def cards(speed_mbps: int) -> tuple[InterfaceInfo, ...]:
    return (InterfaceInfo(name="eth0", mac="", kind="data", speed_mbps=speed_mbps),)


@pytest.mark.parametrize(
    ("declared", "speed", "terms", "offered"),
    [
        (None, 0, None, UNKNOWN_MBPS),
        (None, 25_000, None, 25_000),
        (7_000, 25_000, None, 7_000),
        (None, 0, NetworkTerms(bandwidth_mbps=10_000), 10_000),
        (None, 0, NetworkTerms(bandwidth_mbps=10_000, share=25), 2_500),
        (None, 25_000, NetworkTerms(bandwidth_mbps=10_000, share=50), 12_500),
        (7_000, 0, NetworkTerms(bandwidth_mbps=10_000, share=50), 3_500),
    ],
)
def test_what_counts(declared: int | None, speed: int, terms: NetworkTerms | None, offered: int) -> None:
    offer = NetOffer(declared)
    offer.terms = terms
    assert offer.of(cards(speed)) == offered


def test_a_speed_is_remembered_without_a_link_and_terms_may_go() -> None:
    offer = NetOffer(None)
    offer.terms = NetworkTerms(bandwidth_mbps=10_000, share=50)
    assert [offer.of(cards(speed)) for speed in (40_000, 0)] == [20_000, 20_000]
    offer.terms = None
    assert offer.of(cards(0)) == 40_000
