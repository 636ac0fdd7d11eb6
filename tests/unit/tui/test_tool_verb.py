"""`corral tool`: lines that say more than is understood are refused, before anybody is asked."""

from __future__ import annotations

import pytest

from tests.unit.tui.command import Corral


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("call", "wordcount", "text=a"), '--input \'{"text": "a b"}\''),
        (("stats", "wordcount", "text=a"), "corral VERB --help"),
        (("add", "greet", "text=a", "--", "true"), "corral VERB --help"),
    ],
)
def test_words_behind_a_name_are_not_passed_over(corral: Corral, words: tuple[str, ...], hint: str) -> None:
    code, _, said = corral("tool", *words)
    assert code == 2 and not corral.asked
    assert "error[E_USAGE]: more than" in said and "got 'text=a'" in said and hint in said
