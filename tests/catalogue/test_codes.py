"""The table of codes is the whole of what can be said, and the document says the same."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from bus.codes import CODES
from bus.errors import one_line
from bus.refusal import GOT_MAX, describe, quote, refusal
from tests.catalogue.document import DOCUMENT, draw
from tui.cli.diagnostics import Exit

ROOT = Path(__file__).parents[2]
_CODE = re.compile(r"\bE_[A-Z][A-Z_]*[A-Z]\b")
_TABLES = ("codes.py", "session_codes.py")
_OWN_NAMES = {"E_CODE"}  # how documents speak of any code


def uses() -> dict[str, set[str]]:
    """Every code that the programs and their documents name, with the files that do."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in ("bus", "coordinator", "agent", "tui", "sql", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".sql", ".md") and path.name not in (*_TABLES, DOCUMENT.name):
                for code in _CODE.findall(path.read_text()):
                    found[code].add(str(path.relative_to(ROOT)))
    return found


def test_every_code_that_is_used_is_explained() -> None:
    unknown = {code: places for code, places in uses().items() if code not in CODES.keys() | _OWN_NAMES}
    assert not unknown, f"add to bus/codes.py: {unknown}"


def test_every_code_that_is_explained_is_used() -> None:
    assert not CODES.keys() - uses().keys()


def test_the_document_is_drawn_from_the_table() -> None:
    assert DOCUMENT.read_text() == draw(), "make documents"


@pytest.mark.parametrize("code", CODES)
def test_each_entry_says_what_and_what_to_do(code: str) -> None:
    entry = CODES[code]
    assert entry.title[0].islower() and not entry.title.endswith(".")
    assert entry.meaning.endswith(".") and entry.hint and not entry.hint.endswith(".")
    assert 400 <= entry.status < 600 and entry.exit in {int(exit) for exit in Exit}
    assert not entry.retryable or entry.status in (429, 503, 504)


def test_a_refusal_takes_from_its_code_what_is_not_said() -> None:
    error = refusal("E_RANGE", field="/cpu", got="3", expected="1–2")
    assert (error.message, error.status, error.retryable) == ("out of range", 422, False)
    assert one_line(error) == "out of range at /cpu: got 3; expected 1–2"
    later = refusal("E_UNAVAILABLE", "away", retry_after_s=2.0)
    assert later.retryable and later.retry_after_s == 2.0
    assert one_line(later) == "away"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\x1b[2J", r"'a\x1b[2J'"),
        ("\u202e\u200b", r"'\u202e\u200b'"),
        ("\x9b31m", r"'\x9b31m'"),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        (-3, "-3"),
        (10**400, "an integer outside int64"),
        ([1, 2], "array"),
        ({"a": 1}, "object"),
    ],
)
def test_what_is_quoted_is_short_and_plain(value: object, shown: str) -> None:
    assert quote(value) == shown


def test_long_values_are_cut() -> None:
    for value in ("x" * 10_000, "\x1b" * 10_000, b"x" * 10_000):
        assert len(quote(value)) <= GOT_MAX and quote(value).endswith("…")
    assert len(describe("x" * 10_000)) <= GOT_MAX
