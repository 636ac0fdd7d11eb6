"""Migrations are numbered without gaps; a stray or doubled file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sql.migrate import migrations


def test_ours_are_numbered_from_one() -> None:
    assert [each.number for each in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize(
    "names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_c.sql"]]
)
def test_gaps_and_doubles_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(ValueError, match="numbered"):
        migrations(tmp_path)


def test_a_stray_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "create.sql").write_text("select 1;")
    with pytest.raises(ValueError, match=r"create\.sql"):
        migrations(tmp_path)
