"""What snapshots by the clock are asked for with, and what is no such thing."""

from __future__ import annotations

import pytest

from bus.cron import Cron
from bus.snapshot_policy import SnapshotPolicy, parse_policy
from bus.units import UnitError


@pytest.mark.parametrize(
    ("text", "cron", "keep"),
    [
        ("@daily keep 7", Cron("0 0 * * *"), 7),
        ("  @Hourly   keep  1000 ", Cron("0 * * * *"), 1000),
        ("30 4 * * mon-fri keep 1", Cron("30 4 * * mon-fri"), 1),
        ("30 4 * * 1 Europe/Berlin keep 2", Cron("30 4 * * 1", "Europe/Berlin"), 2),
    ],
)
def test_what_is_a_policy(text: str, cron: Cron, keep: int) -> None:
    assert parse_policy(text) == SnapshotPolicy(cron, keep)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E_VALUE"),
        ("@daily", "E_VALUE"),
        ("keep 7", "E_VALUE"),
        ("@daily keep", "E_VALUE"),
        ("@daily keep x", "E_VALUE"),
        ("@daily keep ²", "E_VALUE"),
        ("@daily keep -1", "E_VALUE"),
        ("@daily hold 7", "E_VALUE"),
        ("@daily UTC UTC keep 7", "E_VALUE"),
        ("@daily keep 0", "E_RANGE"),
        ("@daily keep 1001", "E_RANGE"),
        ("@daily keep " + "9" * 5000, "E_RANGE"),
        ("@often keep 7", "E_CRON"),
        ("* * keep 7", "E_CRON"),
        ("0 0 31 2 * keep 7", "E_CRON"),
        ("@daily ../etc/passwd keep 7", "E_TIME"),
    ],
)
def test_what_is_none(text: str, code: str) -> None:
    with pytest.raises(UnitError) as refused:
        parse_policy(text)
    assert refused.value.code == code
