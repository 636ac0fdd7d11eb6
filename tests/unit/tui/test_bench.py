"""`corral bench scheduler`, as whole processes: a table, JSON, and one clear error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.coordinator.test_swf import HEADER, line, write


def corral(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui", "bench", "scheduler", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    rows = (line(id, 5 * id, 50 + id, 4, 4, 100) for id in range(1, 61))
    return str(write(tmp_path, HEADER + "".join(rows)))


def test_the_table_and_the_json_say_the_same(trace: str) -> None:
    short = ("--swf", trace, "--length", "20", "--sequences", "2", "--policy", "fcfs,sjf", "--backfill")
    table = corral(*short)
    assert table.returncode == 0 and table.stderr == ""
    document = json.loads(corral(*short, "-o", "json").stdout)
    assert [result["policy"] for result in document["results"]] == ["fcfs", "sjf"]
    for result, row in zip(document["results"], table.stdout.splitlines()[1:], strict=True):
        assert row.split()[:3] == ["small", result["policy"], f"{result['mean_bounded_slowdown']:.2f}"]
        assert result["backfill"] and len(result["values"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--swf", "/nowhere.swf"), "error[E_PATH]: cannot read /nowhere.swf"),
        (("--starts", "x"), "--starts"),
        (("--policy", "best"), "error[E_VALUE]: no policy 'best' at --policy: expected some of fcfs"),
    ],
)
def test_what_is_wrong_is_one_error(trace: str, arguments: tuple[str, ...], words: str) -> None:
    done = corral("--swf", trace, *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
