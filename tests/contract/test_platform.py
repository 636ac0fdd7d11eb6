"""What Corral stands on: its licence, and no password in anything that is kept in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PASSWORD = re.compile(r"(?i)\bpassword\s+'[^%']|secure_password")


@pytest.mark.contract("S2.7")
def test_it_is_free_software() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.contract("S3.42")
def test_no_statement_holds_a_password() -> None:
    files = sorted((ROOT / "sql").rglob("*.sql"))
    assert len(files) > 10
    assert not [str(path.relative_to(ROOT)) for path in files if _PASSWORD.search(path.read_text())]
    assert _PASSWORD.search("create user app_user password 'secure_password'")
