"""Verbs behind their noun."""

from __future__ import annotations

import pytest

from tui.cli.nouns import NOUNS, plain
from tui.cli.parser import families


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("node drain n1 --reason x", "drain n1 --reason x"),
        ("node maintenance n1 --deadline 5m", "maintenance n1 --deadline 5m"),
        ("job pause 7", "pause 7"),
        ("task requeue 7.1", "requeue 7.1"),
        ("node ls", "nodes"),
        ("node show n1", "node n1"),
        ("job show 7 -o json", "job 7 -o json"),
        ("task list 7", "tasks 7"),
        ("job derive --file a.json", "plan --file a.json"),
        ("node drain", "node drain"),  # a node may be called so
        ("node n1", "node n1"),
        ("job 7 8", "job 7 8"),
        ("drain n1", "drain n1"),
        ("", ""),
    ],
)
def test_a_line_means_what_it_says(line: str, meant: str) -> None:
    assert plain(line.split()) == meant.split()


def test_every_spelling_means_a_verb() -> None:
    known = {verb for family in families() for verb in family.VERBS}
    assert {meant.format(noun=noun) for noun, words in NOUNS.items() for meant in words.values()} <= known
