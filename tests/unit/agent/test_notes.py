"""The lines that a task appends: understood, counted where they cannot be, and never more than asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.notes import (
    LINE_MAX,
    NAMES_MAX,
    Heard,
    Logged,
    Value,
    hear,
    last_output,
)
from bus.results import LOGGED_AT_ONCE_MAX, LOGGED_TEXT_MAX


def heard(*lines: str | bytes, values_max: int = 1000) -> Heard:
    data = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    found = hear(data, values_max=values_max)
    assert found.used == len(data) or len(found.values) >= values_max
    return found


def test_everything_that_can_be_told() -> None:
    found = heard(
        '{"progress": 45.5, "metrics": {"loss": 0.0023, "acc": 0.982}, "step": 1200, "message": "epoch 3"}',
        "",
        '  {"artifact": "plots/loss.png"}  ',
        '{"output": {"a": [1, null]}}',
        '{"progress": 50, "metrics": {"loss": 1}}',
    )
    assert (found.progress, found.message, found.faults) == (50.0, "epoch 3", 0)
    assert found.values == [
        Value("loss", 0.0023, 1200),
        Value("acc", 0.982, 1200),
        Value("loss", 1.0, None),
    ]
    assert found.artifacts == ["plots/loss.png"]
    assert found.output == b'{"a": [1, null]}'


BAD = (
    ("hello", "malformed"),
    ('{"progress": 45', "truncated"),
    ("[]", "object"),
    ('{"progres": 1}', "'progres'"),
    ('{"progress": 101}', "0 to 100"),
    ('{"progress": -0.1}', "0 to 100"),
    ('{"progress": "1"}', "finite number"),
    ('{"progress": true}', "finite number"),
    ('{"progress": null}', "finite number"),
    ('{"progress": NaN}', "malformed"),
    ('{"metrics": {"loss": 1e999}}', "out of range"),
    ('{"metrics": [1]}', "object"),
    ('{"metrics": {"a b": 1}}', "'a b'"),
    ('{"metrics": {"": 1}}', "name"),
    (json.dumps({"metrics": {"x" * 51: 1}}), "name"),
    (json.dumps({"metrics": {f"m{n}": n for n in range(NAMES_MAX + 1)}}), "more than"),
    ('{"step": 1.5}', "int"),
    ('{"step": 99999999999999999}', "out of range"),
    ('{"message": 1}', "str"),
    ('{"artifact": {}}', "str"),
    ('{"log": 1}', "str"),
    ('{"log": "x", "level": "warn"}', "warn"),
    ('{"level": "info"}', "level without log"),
    (b'\xff\xfe{"progress": 1}', "malformed"),
    (b'{"message": "\xff"}', ""),
    ("[" * 100_000, ""),
    ('{"metrics": {"a": ' + "[" * 100_000 + "}}", ""),
)


@pytest.mark.parametrize(("line", "why"), BAD, ids=lambda value: ascii(value)[:30])
def test_what_cannot_be_used_is_counted_and_told_once(line: str | bytes, why: str) -> None:
    found = heard('{"progress": 1}', line, "also bad", '{"progress": 2}')
    assert (found.faults, found.progress, found.values) == (2, 2.0, [])
    assert why in found.fault.lower() or why in found.fault
    assert len(found.fault) <= 200


def test_a_line_without_its_end_is_not_there_yet() -> None:
    assert hear(b'{"progress": 4', values_max=10) == Heard()
    assert hear(b'{"progress": 4}\n{"progress": 5}', values_max=10).used == 16


def test_a_line_without_end_is_one_fault() -> None:
    found = hear(b"x" * LINE_MAX, values_max=10)
    assert (found.used, found.faults) == (LINE_MAX, 1)
    assert hear(b"x" * (LINE_MAX - 1), values_max=10) == Heard()


def test_values_are_taken_as_many_as_there_is_room_for() -> None:
    lines = [json.dumps({"metrics": {"a": n, "b": n}}) for n in range(10)]
    data = "".join(line + "\n" for line in lines).encode()
    first = hear(data, values_max=5)
    assert len(first.values) == 6
    rest = hear(data[first.used :], values_max=1000)
    assert first.values + rest.values == hear(data, values_max=1000).values


def test_the_last_output_counts() -> None:
    assert last_output(b"") is None
    assert last_output(b'{"progress": 1}\n') is None
    assert last_output(b'{"output": 1}\n{"output": [2]}\n{"progress": 3}') == b"[2]"
    assert last_output(b'cut": 1}\n{"output": 3}') == b"3"
    assert last_output(b'{"output": 1}\n{"output": ') == b"1"


@given(st.lists(st.binary(max_size=30)), st.integers(0, 200))
def test_it_may_be_cut_anywhere(lines: list[bytes], cut: int) -> None:
    """Read in two pieces, as much is heard as in one."""
    data = b"\n".join(lines)
    whole = hear(data, values_max=10_000)
    first = hear(data[:cut], values_max=10_000)
    second = hear(data[first.used :], values_max=10_000)
    assert first.used + second.used == whole.used
    assert first.faults + second.faults == whole.faults
    assert first.values + second.values == whole.values


def test_jobs_are_handed_on_as_they_stand_with_the_place_of_their_line() -> None:
    lines = [
        b'{"submit": {"command": ["true"]}}\n',
        b'{"progress": 1}\n',
        b'{"submit": {"x": 1}, "progress": 2}\n',
    ]
    heard = hear(b"".join(lines), values_max=10)
    assert heard.submits == [
        (len(lines[0]), b'{"command": ["true"]}'), (sum(map(len, lines)), b'{"x": 1}'),
    ]  # fmt: skip
    assert heard.progress == 2 and not heard.faults


@pytest.mark.parametrize("job", ["1", '"x"', "[]", "null", '{"a": "' + "x" * 70_000 + '"}'])
def test_what_is_no_job_is_a_fault(job: str) -> None:
    heard = hear(b'{"submit": %s}\n' % job.encode(), values_max=10)
    assert (heard.submits, heard.faults) == ([], 1)


def test_so_many_jobs_at_once_and_the_rest_later() -> None:
    data = b'{"submit": {"command": ["true"]}}\n' * 120
    counts = []
    while data:
        heard = hear(data, values_max=10)
        counts.append(len(heard.submits))
        data = data[heard.used :]
    assert counts == [50, 50, 20]


def test_lines_for_the_log_have_a_level_and_a_length() -> None:
    long = "x" * (LOGGED_TEXT_MAX + 1)
    found = heard(
        '{"log": "begun"}', '{"log": "odd", "level": "warning", "progress": 3}', json.dumps({"log": long})
    )
    assert found.logs[:2] == [Logged("info", "begun"), Logged("warning", "odd")]
    assert len(found.logs[2].text) == LOGGED_TEXT_MAX and found.logs[2].text.endswith("x…")
    assert (found.progress, found.faults) == (3.0, 0)


def test_so_many_lines_for_the_log_at_once() -> None:
    line = b'{"log": "again"}\n'
    found = hear(line * (LOGGED_AT_ONCE_MAX + 1), values_max=1)
    assert (len(found.logs), found.used) == (LOGGED_AT_ONCE_MAX, LOGGED_AT_ONCE_MAX * len(line))


@pytest.mark.parametrize("digits", [309, 400, 4_000])
def test_a_number_that_no_float_holds_is_a_fault(digits: int) -> None:
    for line in ('{"progress": %s}', '{"metrics": {"x": -%s}}', '{"metrics": {"x": 1}, "step": %s}'):
        found = heard(line % ("9" * digits), '{"message": "next"}')
        assert (found.faults, found.message, found.values) == (1, "next", [])
    assert heard('{"metrics": {"x": 1.75e308}}').fault.startswith("x is not a finite number of at most")
    assert heard('{"metrics": {"x": -1.7e308}}').values == [Value("x", -1.7e308, None)]


def test_no_word_has_a_nul_that_no_message_takes() -> None:
    found = heard(r'{"message": "a\u0000b", "log": "c\u0000d"}')
    assert found.message == "a\N{REPLACEMENT CHARACTER}b"
    assert [each.text for each in found.logs] == ["c\N{REPLACEMENT CHARACTER}d"]
    for line in (r'{"artifact": "a\u0000b"}', r'{"checkpoint": "a\u0000b", "step": 1}'):
        found = heard(line)
        assert (found.fault, found.artifacts, found.saves) == ("a name with a NUL in it", [], [])
    assert "\0" not in heard(r'{"a\u0000b": 1}').fault


@given(st.binary(max_size=300))
def test_any_bytes_are_heard(data: bytes) -> None:
    hear(data + b"\n", values_max=10)
    last_output(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_KEYS = (
    "progress",
    "message",
    "metrics",
    "step",
    "artifact",
    "checkpoint",
    "shard",
    "submit",
    "log",
    "level",
    "output",
)


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4))
def test_whatever_a_line_tells_fits_into_a_message(said: dict[str, object]) -> None:
    found = hear(json.dumps(said).encode() + b"\n", values_max=10)
    for text in (found.message or "", found.fault, *found.artifacts, *(each.text for each in found.logs)):
        assert "\0" not in text
        text.encode()
    assert all(abs(value.value) <= 1.7e308 for value in found.values)
