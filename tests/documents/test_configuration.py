"""docs/configuration.md lists every setting as it is."""

from __future__ import annotations

import re
from pathlib import Path

from bus.settings import SETTINGS

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_table_is_that_of_the_code() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9_.]+)` \| `(CORRAL_[A-Z0-9_]+)` \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE
    )
    written = {key: (variable, tuple(re.findall(r"--[a-z]+", flags))) for key, variable, flags in rows}
    assert written == {key: (setting.variable, setting.flags) for key, setting in SETTINGS.items()}


def test_every_choice_is_named() -> None:
    text = DOCUMENT.read_text()
    for setting in SETTINGS.values():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{setting.key}`"))
        assert all(f"`{choice}`" in line for choice in setting.choices)
