"""Amounts are read as people write them, refused with a code otherwise, and survive a round trip."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.units import (
    ARRAY_COUNT_MAX,
    CPU_MILLIS_MAX,
    SIZE_MIB_MAX,
    IndexRange,
    UnitError,
    counted,
    format_cpu_millis,
    format_duration_s,
    format_mbps,
    format_size_mib,
    parse_array,
    parse_cpu_millis,
    parse_duration_s,
    parse_mbps,
    parse_size_mib,
)


@pytest.mark.parametrize(
    ("given_value", "millis"),
    [("2", 2000), ("500m", 500), (1500, 1500), ("1.5", 1500), ("0.001", 1), ("1m", 1), ("0.0015", 2)],
)
def test_cpu(given_value: int | str, millis: int) -> None:
    assert parse_cpu_millis(given_value) == millis


@pytest.mark.parametrize("value", [0, -1, "0.0001", "1000000", 1_024_001, "0"])
def test_cpu_out_of_range(value: int | str) -> None:
    """B39: cpu 0, -1, 0.0001, 1e6."""
    with pytest.raises(UnitError) as caught:
        parse_cpu_millis(value)
    assert caught.value.code in ("E_RANGE", "E_UNIT")
    assert "0.001–1024 cores" in str(caught.value)


@pytest.mark.parametrize(
    "value", ["-1", "1e6", "two", "", "1 core", "१", "1.", ".5", "nan", True, float("nan")]
)
def test_cpu_not_an_amount(value: float | str) -> None:
    with pytest.raises(UnitError):
        parse_cpu_millis(value)


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("4GiB", 4096),
        ("4G", 4096),
        ("4Gi", 4096),
        ("512Mi", 512),
        ("4096", 4096),
        (4096, 4096),
        ("4 GB", 3815),
        ("4gb", 3815),
        ("4", 4),
        ("1048576b", 1),
        ("1B", 1),
        ("0", 0),
        ("1.5G", 1536),
        ("1PiB", SIZE_MIB_MAX),
    ],
)
def test_size(text: int | str, mib: int) -> None:
    """B40: the first four are read by documented rules."""
    assert parse_size_mib(text) == mib


@pytest.mark.parametrize(
    "value", ["-1G", "4 parsecs", "", "G", "1..2G", "4G\n", "9" * 500, "1e3", -1, "2PiB", True]
)
def test_size_refused(value: int | str) -> None:
    """B40: others are refused, with the units listed where the unit is the trouble."""
    with pytest.raises(UnitError) as caught:
        parse_size_mib(value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("text", "mbps"),
    [("1Gbit", 1000), ("100Mbit", 100), (1000, 1000), ("1Gbps", 1000), ("1G", 1000), ("8kbit", 1)],
)
def test_rate(text: int | str, mbps: int) -> None:
    assert parse_mbps(text) == mbps


@pytest.mark.parametrize("text", ["1GB/s", "-1", "fast", "1Gbyte"])
def test_rate_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_mbps(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1h30m", 5400),
        ("1-02:00:00", 93_600),
        (2.5, 2.5),
        ("2.5", 2.5),
        ("1:30", 90),
        ("90:00", 5400),
        ("02:00:00", 7200),
        ("1-02", 93_600),
        ("500ms", 0.5),
        ("1d", 86_400),
        ("1m30s", 90),
        ("365d", 365 * 86_400),
    ],
)
def test_duration(text: float | str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        -5,
        "1:99:00",
        "400d",
        "0",
        "1m2h",
        "1h1h",
        "1-25:00:00",
        "1:60",
        "",
        "soon",
        "1 h",
        float("inf"),
        "1-",
    ],
)
def test_duration_refused(value: float | str) -> None:
    """B44."""
    with pytest.raises(UnitError) as caught:
        parse_duration_s(value)
    assert caught.value.code == "E_DURATION"


def test_zero_is_a_duration_where_the_caller_says_so() -> None:
    assert parse_duration_s(0, zero_ok=True) == 0


def test_array() -> None:
    assert list(parse_array("1,5,9-20:2")) == [1, 5, 9, 11, 13, 15, 17, 19]
    swept = parse_array("0-99%10")
    assert (swept.count, swept.limit, swept.ranges) == (100, 10, (IndexRange(0, 99, 1),))
    assert parse_array("0-9:2,1-9:2").count == 10


@pytest.mark.parametrize(
    "text",
    [
        "0-",
        "5-1",
        "1-10:0",
        "1-1000000000",
        "a-b",
        "1,,2",
        "",
        "1%0",
        "1%",
        "1%x",
        "1,1",
        "0-9,5",
        "0-4:2,2",
        "-1",
        " 1",
        "1-2-3",
        "१",
        "0-1000000",
        "1," * 40_000,
        "99999999999",
    ],
)
def test_array_refused(text: str) -> None:
    """B45, and an index twice."""
    with pytest.raises(UnitError) as caught:
        parse_array(text)
    assert caught.value.code == "E_ARRAY"
    assert len(str(caught.value)) < 300


def test_the_largest_array_is_one_range() -> None:
    largest = parse_array(f"0-{ARRAY_COUNT_MAX - 1}")
    assert largest.count == ARRAY_COUNT_MAX
    assert len(largest.ranges) == 1


_PARTS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 60), st.integers(1, 7)), min_size=1, max_size=5
)


@given(_PARTS)
def test_array_means_what_its_parts_say(parts: list[tuple[int, int, int]]) -> None:
    text = ",".join(f"{start}-{start + length}:{step}" for start, length, step in parts)
    wanted = [index for start, length, step in parts for index in range(start, start + length + 1, step)]
    if len(set(wanted)) != len(wanted):
        with pytest.raises(UnitError):
            parse_array(text)
        return
    array = parse_array(text)
    assert list(array) == wanted
    assert array.count == len(wanted)
    assert [array.index_of(ordinal) for ordinal in range(array.count)] == wanted
    with pytest.raises(IndexError):
        array.index_of(array.count)


@pytest.mark.parametrize(
    "parse", [parse_cpu_millis, parse_size_mib, parse_mbps, parse_duration_s, parse_array]
)
@given(text=st.text(max_size=80))
def test_any_text_is_read_or_refused(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except UnitError as error:
        assert error.code.startswith("E_")


@given(st.integers(1, CPU_MILLIS_MAX))
def test_cpu_round_trip(millis: int) -> None:
    assert parse_cpu_millis(format_cpu_millis(millis)) == millis


@given(st.integers(0, SIZE_MIB_MAX))
def test_size_shown_is_near(mib: int) -> None:
    shown = parse_size_mib(format_size_mib(mib))
    assert abs(shown - mib) <= max(1, mib * 0.06)


@given(st.integers(1, 365 * 86_400))
def test_duration_shown_is_near(seconds: int) -> None:
    shown = parse_duration_s(format_duration_s(seconds))
    assert abs(shown - seconds) <= max(1, seconds * 0.06)


def test_formats_for_people() -> None:
    assert [format_duration_s(value) for value in (0.035, 4.21, 90, 5400, 93_600, 60)] == [
        "35ms",
        "4.2s",
        "1m30s",
        "1h30m",
        "1d2h",
        "1m",
    ]
    assert [format_size_mib(value) for value in (512, 4096, 1536, 2**20)] == [
        "512 MiB",
        "4 GiB",
        "1.5 GiB",
        "1 TiB",
    ]
    assert [format_mbps(value) for value in (100, 2500)] == ["100 Mbit/s", "2.5 Gbit/s"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (1_000_000, "1,000,000 tasks")]
)
def test_nouns_agree_with_their_number(number: int, text: str) -> None:
    assert counted(number, "task") == text
