"""Prints the catalogue's counts at the end of a run that held it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

LATER = Path(__file__).parent / "later.txt"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        if "tests/catalogue/" in report.nodeid and "::test_row[" in report.nodeid:
            tried[report.nodeid.rpartition("[")[2].partition("-B")[0]] += 1
    if not tried:
        return
    later = sum(not line.startswith("#") for line in LATER.read_text().splitlines())
    doors = ", ".join(f"{door} {count}" for door, count in sorted(tried.items()))
    summary = f"{sum(tried.values())} cases on {len(tried)} doors ({doors}); {later} rows are for later"
    terminalreporter.write_line(f"bad-input catalogue: {summary}")
