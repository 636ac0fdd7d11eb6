"""What is drawn into a document goes where it belongs, mends what is wrong there, and leaves all else."""

from __future__ import annotations

import pytest

from tests.documents.drawing import DOCS, PAGES, NoPlace


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_is_drawn(name: str) -> None:
    text = (DOCS / name).read_text()
    assert PAGES[name](text) == text, "make documents"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("filter.md", "| `held` | yes, no | whether it is held back |\n"),
        ("protocol.md", "| levels of nesting | 32 |\n"),
        ("states.md", "stateDiagram-v2\n"),
        ("errors.md", "| code | status | exit | meaning | what to do |\n"),
    ],
)
def test_what_is_missing_is_put_back_and_nothing_else_changes(name: str, row: str) -> None:
    text = (DOCS / name).read_text()
    assert text.count(row) == 1
    assert PAGES[name](text.replace(row, "")) == text


def test_a_document_without_the_place_is_told() -> None:
    with pytest.raises(NoPlace, match="has 0 places for the table subjects"):
        PAGES["protocol.md"]("# Protocol\n")
