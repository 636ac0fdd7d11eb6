"""The best places of what was typed are found, as by trying all of them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.view.fuzzy import GAP, LETTER, NAME_MAX, NEIGHBOUR, WORD_START, fuzzy_match

NAMES = st.text("abAB -_1", min_size=0, max_size=7)
TYPED = st.text("ab1", min_size=0, max_size=3)


def slow(typed: str, name: str) -> float | None:
    scores = []
    for places in combinations(range(len(name)), len(typed)):
        if [name[at].lower() for at in places] != list(typed):
            continue
        score = 0.0
        for order, at in enumerate(places):
            starts = at == 0 or not name[at - 1].isalnum() or (name[at].isupper() and name[at - 1].islower())
            near = order > 0 and places[order - 1] == at - 1
            score += NEIGHBOUR if near else WORD_START if starts else LETTER
            score -= GAP * (at - places[order - 1] - 1) if order else 0
        scores.append(score - len(name) / NAME_MAX)
    return max(scores, default=None)


@given(TYPED, NAMES)
def test_it_finds_the_best_places(typed: str, name: str) -> None:
    found = fuzzy_match(typed, name)
    best = slow(typed, name)
    assert (found is None) == (best is None)
    if found is not None:
        assert found[0] == pytest.approx(best)
        assert [name[at].lower() for at in found[1]] == list(typed)


def test_words_come_before_letters() -> None:
    names = ["drain a node", "cordon a node", "undrain"]
    assert max(names, key=lambda name: (fuzzy_match("dr", name) or (-1, ()))[0]) == "drain a node"
    assert fuzzy_match("DN", "drain a node") is not None
    names = ["what changed since I last looked", "cancel"]
    assert max(names, key=lambda name: (fuzzy_match("cncel", name) or (-1, ()))[0]) == "cancel"
    assert fuzzy_match("xyz", "drain") is None
