"""Every column of the source designs has the place that docs/schema.md names, and the place exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sql import queries
from sql.er import er_diagram, with_diagram
from tests.contract.conftest import Contract

DOCUMENT = Path(__file__).parents[2] / "docs" / "schema.md"

COLUMN_ROWS = (
    "S0.4", "S0.5", "S0.6", "S0.7", "S0.8", "S0.9", "S0.10", "S0.11", "S0.12", "S0.13", "S0.14",
    "S0.15", "S0.17", "S0.18", "S0.19", "S0.20", "S0.21", "S0.22", "S0.24", "S0.25", "S0.26", "S0.27",
    "S0.28", "S0.29", "S0.30", "S0.31", "S0.32", "S0.33", "S0.34", "S0.35", "S0.36", "S0.37", "S0.39",
    "S0.40", "S0.41", "S0.42", "S0.43", "S0.45", "S0.46", "S0.49", "S0.50", "S0.51", "S0.52", "S0.53",
    "S1.4", "S1.5", "S1.6", "S1.7", "S1.8", "S1.9", "S1.10", "S1.11", "S1.12", "S1.13", "S1.14",
    "S1.19", "S1.20", "S1.21", "S1.22", "S1.23", "S1.27", "S1.28", "S1.29", "S1.30", "S1.31",
    "S2.8", "S2.9", "S2.10", "S2.11", "S2.12", "S2.13", "S2.14", "S2.15", "S2.16", "S2.17", "S2.19",
    "S2.20", "S2.21", "S2.23", "S2.24", "S2.26", "S2.27", "S2.28", "S2.29", "S2.30", "S2.31", "S2.32",
    "S2.33", "S2.34", "S2.35", "S2.36", "S2.37", "S2.38", "S2.39", "S2.42", "S2.43", "S2.56", "S2.59",
    "S2.61", "S2.63", "S3.3", "S3.4", "S3.5", "S3.6", "S3.7", "S3.8", "S3.9", "S3.10", "S3.11",
    "S3.12", "S3.13", "S3.14", "S3.15", "S3.16",
    "S4.1", "S4.2", "S4.3", "S4.4", "S4.5", "S4.6", "S4.11", "S4.12", "S4.13", "S4.14", "S4.15",
    "S4.16", "S4.17", "S4.18", "S4.19", "S4.20", "S4.21", "S4.22", "S4.32", "S4.72", "S4.73", "S4.74",
    "S4.75",
)  # fmt: skip

WHOLE_TABLE = {"S4.1", "S4.72", "S4.73", "S4.74", "S4.75"}
"""Rows that no single column keeps: they have tests of their own below."""


def places() -> dict[str, list[tuple[str, str]]]:
    """What docs/schema.md names for each row, as (table, column)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row, here in re.findall(r"^\| (S\d\.\d+) \|[^|]*\|([^|]*)\|$", DOCUMENT.read_text(), re.MULTILINE):
        found.setdefault(row, []).extend(re.findall(r"(\w+)\.(\w+)", here))
    return found


@pytest.mark.contract(*COLUMN_ROWS)
async def test_every_place_exists(corral: Contract) -> None:
    catalogue = await corral.connection.fetch(queries("catalogue")["columns"])
    columns = {(row["table_name"], row["column_name"]) for row in catalogue}
    named = places()
    assert set(COLUMN_ROWS) - WHOLE_TABLE - named.keys() == set()
    missing = {row: sorted(set(here) - columns) for row, here in named.items() if set(here) - columns}
    assert missing == {}


@pytest.mark.contract("S4.75")
async def test_no_column_is_a_time_without_zone(corral: Contract) -> None:
    catalogue = await corral.connection.fetch(queries("catalogue")["columns"])
    assert [row["column_name"] for row in catalogue if row["type"] == "timestamp without time zone"] == []


@pytest.mark.contract("S4.73", "S4.74")
def test_every_foreign_state_has_a_word_here() -> None:
    text = DOCUMENT.read_text()
    words = text[text.index("## Words") : text.index("## Where")]
    for word in ("Reassigned", "error", "training", "OutOfSync", "Unreachable", "draining", "MAINTENANCE"):
        assert word in words


@pytest.mark.contract("S4.72")
async def test_primary_keys_are_time_ordered_uuids(corral: Contract) -> None:
    ids = await corral.rows("select corral.uuid7() from generate_series(1, 50)")
    stamps = [row[0].int >> 80 for row in ids]
    assert stamps == sorted(stamps)
    assert {row[0].version for row in ids} == {7} and {row[0].variant for row in ids} == {ids[0][0].variant}


@pytest.mark.contract("S0.64", "S4.1")
async def test_the_diagram_of_the_document_is_that_of_the_catalogue(corral: Contract) -> None:
    text = DOCUMENT.read_text()
    assert with_diagram(text, await er_diagram(corral.connection)) == text, "make documents"
