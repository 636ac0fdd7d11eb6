"""Every query file parses, and every query says what it is for."""

from __future__ import annotations

import re

import pytest

from sql import QUERIES, queries

FILES = sorted(path.stem for path in QUERIES.glob("*.sql"))


@pytest.mark.parametrize("table", FILES)
def test_every_query_is_named_and_explained(table: str) -> None:
    text = (QUERIES / f"{table}.sql").read_text()
    named = re.findall(r"^-- name: (\w+)", text, re.MULTILINE)
    assert sorted(queries(table)) == sorted(named)
    assert len(re.findall(r"^-- name: .*\n-- \S", text, re.MULTILINE)) == len(named)


@pytest.mark.parametrize("table", FILES)
def test_what_returns_no_rows_says_so_in_its_name(table: str, caplog: pytest.LogCaptureFixture) -> None:
    """Else a line about it stands in the log of every start."""
    queries.__wrapped__(table)
    assert not caplog.records


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        queries("nothing")
