"""Cron fields: what they mean in a zone with summer time, and which of them mean nothing."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cron import Cron, parse_cron
from bus.units import UnitError


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("fields", "after", "fires"),
    [
        ("30 4 * * mon-fri", "2026-11-20T04:30:00", "2026-11-23T04:30:00"),
        ("*/15 * * * *", "2026-11-23T10:14:59", "2026-11-23T10:15:00"),
        ("@weekly", "2026-11-23T00:00:00", "2026-11-29T00:00:00"),
        ("0 0 29 2 *", "2026-11-23T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 13 * fri", "2026-11-06T12:00:00", "2026-11-13T00:00:00"),
        ("0 12 * jan,jul 7", "2026-11-23T00:00:00", "2027-01-03T12:00:00"),
    ],
)
def test_the_next_time(fields: str, after: str, fires: str) -> None:
    assert parse_cron(fields).next_after(at(after)) == at(fires)


def test_both_days_restricted_means_either() -> None:
    cron = parse_cron("0 0 13 * fri")
    assert cron.next_after(at("2026-11-23T00:00:00")) == at("2026-11-27T00:00:00")


def test_the_hour_left_out_and_the_hour_that_comes_twice() -> None:
    berlin = "Europe/Berlin"
    nightly = parse_cron("30 2 * * *", zone=berlin)
    spring = nightly.next_after(at("2026-03-28T12:00:00", berlin))
    assert datetime.fromtimestamp(spring, ZoneInfo(berlin)).isoformat() == "2026-03-29T03:00:00+02:00"
    autumn = nightly.next_after(at("2026-10-24T12:00:00", berlin))
    assert (
        nightly.next_after(autumn) - autumn == 24 * 3600 or nightly.next_after(autumn) - autumn == 25 * 3600
    )
    assert datetime.fromtimestamp(nightly.next_after(autumn), ZoneInfo(berlin)).day == 26


fields = st.tuples(
    st.sampled_from(["*", "0", "*/7", "5,35", "10-20"]),
    st.sampled_from(["*", "0", "2", "*/5", "1-3"]),
    st.sampled_from(["*", "1", "31", "*/10"]),
    st.sampled_from(["*", "2", "jan-mar", "*/3"]),
    st.sampled_from(["*", "0", "mon", "1-5"]),
).map(" ".join)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])


@given(fields, zones, st.integers(1_700_000_000, 1_900_000_000))
def test_times_only_go_on_and_the_newest_is_the_one_before_the_next(text: str, zone: str, now_s: int) -> None:
    try:
        cron = parse_cron(text, zone=zone)
    except UnitError as error:
        assert "never fires" in str(error)
        return
    times = [float(now_s)]
    for _ in range(5):
        times.append(cron.next_after(times[-1]))
    assert all(earlier < later for earlier, later in pairwise(times))
    for earlier, later in pairwise(times[1:]):
        assert cron.newest_until(earlier) == earlier
        assert cron.newest_until((earlier + later) / 2) == earlier
        assert cron.newest_until(later - 1) == earlier


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "five fields"), ("61 * * * *", "bad minute"), ("* * 30 2 *", "never fires"),
        ("* * 31 4,6 *", "never fires"), ("* * 32 * *", "bad day-of-month"), ("@never", "five fields"),
        ("0 0 * * mun", "bad day-of-week"), ("0 0 * * 5-1", "bad day-of-week"), ("", "five fields"),
    ],
)  # fmt: skip
def test_what_means_nothing(text: str, said: str) -> None:
    with pytest.raises(UnitError, match=said) as caught:
        parse_cron(text)
    assert caught.value.code == "E_CRON"


@given(st.text("0123456789*/,-LW#@amonji \t", max_size=20))
def test_any_text_is_a_schedule_or_an_error(text: str) -> None:
    try:
        assert isinstance(parse_cron(text), Cron)
    except UnitError as error:
        assert error.code == "E_CRON"
