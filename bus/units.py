"""Amounts as people write them, and back: cores, sizes, rates, durations, array ranges.

A bare number is in Corral's own unit (millicores, MiB, Mbit/s, seconds); text of digits alone is cores for
the CPU and Corral's own unit for the rest. Amounts round up: half a MiB asked is one MiB held. Text is short
(64 characters, ranges 64 KiB), ASCII, and its numbers are plain decimals, so nothing here can be made slow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from msgspec import Struct

from bus.errors import CorralError

CPU_MILLIS_MAX = 1_024_000
SIZE_MIB_MAX = 2**30  # 1 PiB
RATE_MBPS_MAX = 10_000_000
GPUS_MAX = 1024
DURATION_S_MAX = 365 * 86_400.0
ARRAY_COUNT_MAX = 1_000_000
ARRAY_INDEX_MAX = 2**31 - 1
PRIORITIES = {"low": 2, "normal": 5, "high": 8}
_TEXT_MAX = 64
_RANGE_TEXT_MAX = 65_536

_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,9})?)"
_CPU = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,9})?)(m?)")  # signed: a number below the range is still one
_GPUS = re.compile(r"(-?[0-9]{0,18}(?:\.[0-9]{1,9})?)(m?)")
_SIZE = re.compile(_NUMBER + r" ?(?:([kmgtp])(i?b?)|b|)", re.IGNORECASE)
_RATE = re.compile(_NUMBER + r" ?([kmgt]?)(bit/s|bit|bps|)", re.IGNORECASE)
_COMPOUND = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|[wdhms]))+")
_COMPOUND_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])")
_CLOCK = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,6})(?::([0-9]{2}))?(?::([0-9]{2}))?")
_ARRAY_PART = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?")

_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_SECONDS = {
    unit: Fraction(size)
    for unit, size in (("ms", "1/1000"), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800))
}


class UnitError(CorralError, ValueError):
    """An amount that cannot be read or is out of range; `code` is the catalogue's."""

    def __init__(self, got: object, expected: str, code: str = "E_UNIT") -> None:
        self.got = got
        self.expected = expected
        self.code = code
        super().__init__(f"got {str(got)[:80]!r}; expected {expected}")


class IndexRange(Struct, frozen=True, array_like=True):
    """`start`, `start + step` … up to and including `last`, which is one of them."""

    start: int
    last: int
    step: int = 1

    def as_range(self) -> range:
        return range(self.start, self.last + 1, self.step)


class ArrayRange(Struct, frozen=True):
    """The indices of a job array, in the order written, and how many may run at once (None: all)."""

    ranges: tuple[IndexRange, ...]
    count: int
    limit: int | None = None

    def __iter__(self) -> Iterator[int]:
        for part in self.ranges:
            yield from part.as_range()

    def index_of(self, ordinal: int) -> int:
        """The array index of the task `ordinal`, counted from 0. Raises IndexError."""
        if ordinal >= 0:
            for part in self.ranges:
                members = part.as_range()
                if ordinal < len(members):
                    return members[ordinal]
                ordinal -= len(members)
        raise IndexError(ordinal)


def counted(number: int, noun: str) -> str:
    """ "1 task", "1,000 tasks"; the noun takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def parse_cpu_millis(value: int | float | str) -> int:
    """Millicores: 1500, "1.5" and "1500m" are the same. From 0.001 to 1024 cores."""
    expected = '0.001–1024 cores, such as 1500 (millicores), "1.5" or "500m"'
    if isinstance(value, str):
        match = _CPU.fullmatch(_short(value, expected))
        if match is None:
            raise UnitError(value, expected)
        amount = Fraction(match[1]) * (1 if match[2] else 1000)
    else:
        amount = _number(value, expected)
    if not 1 <= amount <= CPU_MILLIS_MAX:
        raise UnitError(value, expected, "E_RANGE")
    return math.ceil(amount)


def parse_gpu_millis(value: int | float | str) -> int:
    """Thousandths of a GPU: 2 and "2" are two GPUs; 0.5, "0.5" and "500m" half of one. No GPU and a half."""
    expected = 'whole GPUs, or a share of one: 2, "0.5" or "500m"'
    if isinstance(value, str):
        match = _GPUS.fullmatch(_short(value, expected))
        if match is None or not any(map(str.isdigit, match[1])):
            raise UnitError(value, expected)
        amount = Fraction(match[1]) * (1 if match[2] else 1000)
    else:
        _number(value, expected)
        amount = Fraction(str(value)) * 1000  # as it was written: 0.3 is three tenths
    if not 0 <= amount <= GPUS_MAX * 1000:
        raise UnitError(value, f"0 to {GPUS_MAX:,} GPUs", "E_RANGE")
    if amount.denominator != 1 or (amount > 1000 and amount % 1000):
        raise UnitError(value, f"{expected}, in thousandths", "E_GPU_SHARE")
    return int(amount)


def parse_size_mib(value: int | float | str) -> int:
    """MiB: 4096, "4096", "4G", "4Gi" and "4GiB" are the same; "4GB" is 4 × 10⁹ bytes, "512b" bytes."""
    expected = 'a size such as 512 (MiB), "512M", "4GiB" or "4GB"; units: B, K, M, G, T, P with i and B'
    if isinstance(value, str):
        match = _SIZE.fullmatch(_short(value, expected))
        if match is None:
            raise UnitError(value, expected)
        amount = Fraction(match[1])
        prefix, suffix = (match[2] or "").lower(), (match[3] or "").lower()
        if prefix:
            factor = _DECIMAL[prefix] if suffix == "b" else _BINARY[prefix]
            amount *= Fraction(factor, 2**20)
        elif value[-1] in "bB":
            amount /= 2**20
    else:
        amount = _number(value, expected)
    if not 0 <= amount <= SIZE_MIB_MAX:
        raise UnitError(value, "at most 1 PiB, and not negative", "E_RANGE")
    return math.ceil(amount)


def parse_mbps(value: int | float | str) -> int:
    """Mbit/s: 1000, "1000", "1G", "1Gbit" and "1Gbps" are the same (bits, powers of ten)."""
    expected = 'a rate such as 100 (Mbit/s), "100Mbit" or "1Gbit"; units: kbit, Mbit, Gbit, Tbit'
    if isinstance(value, str):
        match = _RATE.fullmatch(_short(value, expected))
        if match is None:
            raise UnitError(value, expected)
        amount = Fraction(match[1])
        if match[2] or match[3]:
            amount *= Fraction(_DECIMAL[match[2].lower()], 10**6)
    else:
        amount = _number(value, expected)
    if not 0 <= amount <= RATE_MBPS_MAX:
        raise UnitError(value, "0–10,000,000 Mbit/s", "E_RANGE")
    return math.ceil(amount)


def parse_priority(value: int | str) -> int:
    """1 to 10; "low" is 2, "normal" 5, "high" 8."""
    expected = f"1–10, or {', '.join(PRIORITIES)}"
    if isinstance(value, str):
        if value not in PRIORITIES:
            raise UnitError(value, expected, "E_RANGE")
        return PRIORITIES[value]
    if not 1 <= value <= 10:
        raise UnitError(value, expected, "E_RANGE")
    return value


def parse_duration_s(value: int | float | str, *, zero_ok: bool = False) -> float:
    """Seconds: 90, "90", "1m30s" and "1:30" are the same; also "2h", "500ms", "1-02:00:00" (days-hours).

    At most 365 days. Zero only where `zero_ok`: no walltime of 0 can be met.
    """
    expected = 'a duration up to 365 days such as 90, "1h30m", "02:00:00" or "1-02:00:00"'
    if isinstance(value, str):
        text = _short(value, expected, "E_DURATION")
        amount = _duration(text)
        if amount is None:
            raise UnitError(value, expected, "E_DURATION")
    else:
        amount = _number(value, expected, "E_DURATION")
    if not 0 <= amount <= DURATION_S_MAX or (amount == 0 and not zero_ok):
        raise UnitError(value, expected, "E_DURATION")
    return float(amount)


def parse_array(text: str) -> ArrayRange:
    """Indices such as "0-99", "0-99%10" (at most 10 at once), "1,5,9-20:2"; no index twice."""
    expected = 'indices such as "0-99", "0-99%10" or "1,5,9-20:2"'
    if len(text) > _RANGE_TEXT_MAX:
        raise UnitError(text, f"{expected}, at most 64 KiB of text", "E_ARRAY")
    body, percent, limit_text = text.partition("%")
    limit: int | None = None
    if percent:
        if not re.fullmatch(r"[0-9]{1,7}", limit_text) or not 1 <= int(limit_text) <= ARRAY_COUNT_MAX:
            raise UnitError(text, "after % a number of tasks from 1 to 1,000,000", "E_ARRAY")
        limit = int(limit_text)
    ranges: list[IndexRange] = []
    count = 0
    for part in body.split(","):
        match = _ARRAY_PART.fullmatch(part)
        if match is None:
            raise UnitError(text, expected, "E_ARRAY")
        start, last = int(match[1]), int(match[2] or match[1])
        step = int(match[3] or 1)
        if step < 1 or last < start or last > ARRAY_INDEX_MAX:
            raise UnitError(text, f"in {part!r} a start up to the end, a step of at least 1", "E_ARRAY")
        members = range(start, last + 1, step)
        ranges.append(IndexRange(start, members[-1], step))
        count += len(members)
        if count > ARRAY_COUNT_MAX:
            raise UnitError(text, "at most 1,000,000 tasks", "E_ARRAY")
    if not _are_disjoint(ranges, count):
        raise UnitError(text, "each index once", "E_ARRAY")
    return ArrayRange(tuple(ranges), count, limit)


def format_cpu_millis(millis: int) -> str:
    """Cores for people: 1500 -> "1.5"."""
    return f"{millis / 1000:.3f}".rstrip("0").rstrip(".")


def format_gpu_millis(millis: int) -> str:
    """GPUs for people: 500 -> "0.5", 2000 -> "2"."""
    return format_cpu_millis(millis)


def format_size_mib(mib: int) -> str:
    """4096 -> "4 GiB"; one digit after the point from 1 GiB on."""
    amount = float(mib)
    for unit in ("MiB", "GiB", "TiB"):
        if amount < 1024:
            return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
        amount /= 1024
    return f"{amount:.1f}".removesuffix(".0") + " PiB"


def format_mbps(mbps: int) -> str:
    """1000 -> "1 Gbit/s"."""
    if mbps >= 1000:
        return f"{mbps / 1000:.1f}".removesuffix(".0") + " Gbit/s"
    return f"{mbps} Mbit/s"


def format_duration_s(seconds: float) -> str:
    """The two largest units that matter: "1d2h", "1h30m", "1m30s", "4.2s", "35ms"."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    for size, name, part, below in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{name}" + (f"{rest}{below}" if rest else "")
    return f"{whole}s"


def _short(text: str, expected: str, code: str = "E_UNIT") -> str:
    if len(text) > _TEXT_MAX or not text.isascii():
        raise UnitError(text, expected, code)
    return text


def _number(value: float, expected: str, code: str = "E_UNIT") -> Fraction:
    # bool is an int in Python, and neither nan nor inf is an amount
    if isinstance(value, bool) or not math.isfinite(value):
        raise UnitError(value, expected, code)
    return Fraction(value)


def _duration(text: str) -> Fraction | None:
    if re.fullmatch(_NUMBER, text):
        return Fraction(text)
    if _COMPOUND.fullmatch(text):
        parts = _COMPOUND_PART.findall(text)
        sizes = [_SECONDS[unit] for _, unit in parts]
        if sorted(set(sizes), reverse=True) != sizes:
            return None  # "1m2h", "1h1h": more likely a slip than meant
        return sum((Fraction(number) * _SECONDS[unit] for number, unit in parts), Fraction())
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    days, first, second, third = (int(group) if group is not None else None for group in match.groups())
    if days is not None:  # D-HH, D-HH:MM, D-HH:MM:SS
        hours, minutes, seconds = first or 0, second or 0, third or 0
        if hours > 23:
            return None
    elif third is not None:  # HH:MM:SS
        hours, minutes, seconds = first or 0, second or 0, third
    else:  # MM:SS
        hours, minutes, seconds = 0, 0, (first or 0) * 60 + (second or 0)
        return Fraction(seconds) if second is not None and second < 60 else None
    if minutes > 59 or seconds > 59:
        return None
    return Fraction(((days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds)


def _are_disjoint(ranges: list[IndexRange], count: int) -> bool:
    ordered = sorted(ranges, key=lambda part: part.start)
    if all(left.last < right.start for left, right in pairwise(ordered)):
        return True
    seen: set[int] = set()  # interleaved steps such as "0-9:2,1-9:2"; bounded by ARRAY_COUNT_MAX
    for part in ranges:
        seen.update(part.as_range())
    return len(seen) == count
