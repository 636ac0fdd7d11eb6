"""The command over a coordinator in hand, free of this machine's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tui.command import Corral


@pytest.fixture
def corral(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Corral:
    """Call it with the words of a command line."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("NO_COLOR", "CORRAL_OUTPUT", "CORRAL_DATA", "CORRAL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return Corral(monkeypatch, capfd)
