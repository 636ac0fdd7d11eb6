"""What a file may be called: relative paths of plain names, told apart on every system."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.artifact_names import NameFault, check_name, clash_key

ELSEWHERE = (
    "../../etc/cron.d/x",
    "/abs",
    "a//b",
    "a/./b",
    "a/..",
    "C:\\x",
    "c:x",
    "~/.ssh",
    "",
    ".",
    "a/",
    "a\\b",
)
NO_NAMES = (
    "x" * 256,
    "d/" + "ä" * 128,
    "a\x00b",
    "a\nb",
    "a\x1b[2J",
    "a\u202eb",
    "a\x85",
    "\udcff",
    "d/" * 600 + "x",
)
FINE = (
    "model.bin",
    "plots/loss.png",
    "trailing space ",
    "con",
    "…",
    "x" * 255,
    "โมเดล.bin",
    "🙂",
    "-rf",
    ".hidden",
    "a~",
)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_leads_elsewhere(name: str) -> None:
    with pytest.raises(NameFault) as fault:
        check_name(name)
    assert fault.value.code == "E_PATH"


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(NameFault) as fault:
        check_name(name)
    assert fault.value.code == "E_NAME"


@pytest.mark.parametrize("name", FINE)
def test_what_is_stored_exactly(name: str) -> None:
    check_name(name)


def test_names_that_some_file_system_takes_for_one() -> None:
    assert clash_key("Model.BIN") == clash_key("model.bin")
    assert clash_key("é") == clash_key("e\u0301") == clash_key("É")
    assert clash_key("straße") == clash_key("STRASSE")
    assert clash_key("a") != clash_key("b")


@given(st.text(max_size=40))
def test_the_key_stands_for_every_spelling(name: str) -> None:
    for form in ("NFC", "NFD"):
        assert clash_key(unicodedata.normalize(form, name)) == clash_key(name)
    assert clash_key(clash_key(name)) == clash_key(name)


@given(st.text(max_size=60))
def test_what_passes_stays_below_its_folder(name: str) -> None:
    try:
        check_name(name)
    except NameFault:
        return
    parts = name.split("/")
    assert all(part not in ("", ".", "..") and "\x00" not in part for part in parts)
    assert not name.startswith("/")
