"""The language of lists: what it reads, what it refuses and where, and what its conditions mean."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ApiError
from bus.fields import EVENT_FIELDS, JOB_FIELDS, NODE_FIELDS, TASK_FIELDS, Field, Kind
from bus.filter import (
    CONDITIONS_MAX,
    LENGTH_MAX,
    Condition,
    Operator,
    Order,
    Value,
    fold,
    holds,
    matches,
    parse,
    parse_order,
)

EQ, HAS, LT, LE, GT, GE = (
    Operator.EQUAL, Operator.CONTAINS, Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST
)  # fmt: skip
NOW_S = 10_000.0


def read(text: str, fields: Mapping[str, Field] = JOB_FIELDS) -> tuple[Condition, ...]:
    return parse(text, fields, me="ann", now_s=NOW_S)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("state=failed", Condition("state", EQ, ("failed",))),
        ("state=failed,completed", Condition("state", EQ, ("failed", "completed"))),
        ("state!=failed", Condition("state", EQ, ("failed",), negated=True)),
        ("name~gpu,cpu", Condition("name", HAS, ("gpu", "cpu"))),
        ("name!~gpu", Condition("name", HAS, ("gpu",), negated=True)),
        ("name  =  'a b'", Condition("name", EQ, ("a b",))),
        (r'''name="it's \"so\" \\ "''', Condition("name", EQ, ('it\'s "so" \\ ',))),
        (r"name='it\'s',x", Condition("name", EQ, ("it's", "x"))),
        ("name=''", Condition("name", EQ, ("",))),
        ("name='; drop table jobs;--'", Condition("name", EQ, ("; drop table jobs;--",))),
        ("name=ไทย", Condition("name", EQ, ("ไทย",))),
        ("user=me", Condition("user", EQ, ("ann",))),
        ("user='me'", Condition("user", EQ, ("me",))),
        ("name=me", Condition("name", EQ, ("me",))),
        ("name=none", Condition("name", EQ, ("none",))),
        ("exit=none,0", Condition("exit", EQ, (None, 0))),
        ("ended!=none", Condition("ended", EQ, (None,), negated=True)),
        ("priority>=5", Condition("priority", GE, (5,))),
        ("exit<=-1", Condition("exit", LE, (-1,))),
        ("held=yes", Condition("held", EQ, (True,))),
        ("held=false", Condition("held", EQ, (False,))),
        ("runtime>1h30m", Condition("runtime", GT, (5400.0,))),
        ("runtime<=0", Condition("runtime", LE, (0.0,))),
        ("age>1h", Condition("submitted", LT, (6400.0,))),
        ("age<=1m", Condition("submitted", GE, (9940.0,))),
        ("submitted>=1970-01-02", Condition("submitted", GE, (86_400.0,))),
        ("submitted<1970-01-01T02:00:00.5+01:00", Condition("submitted", LT, (3600.5,))),
        ("submitted<1970-01-01t01:00:00z", Condition("submitted", LT, (3600.0,))),
        ("submitted>0001-01-01T00:00:00+14:00", Condition("submitted", GT, (-62135647200.0,))),
    ],
)
def test_a_condition_is_read(text: str, condition: Condition) -> None:
    assert read(text) == (condition,)


@pytest.mark.parametrize(
    ("text", "fields", "condition"),
    [
        ("cpu>=2", TASK_FIELDS, Condition("cpu", GE, (2000,))),
        ("cpu=500m,0", TASK_FIELDS, Condition("cpu", EQ, (500, 0))),
        ("memory<4GiB", TASK_FIELDS, Condition("memory", LT, (4096,))),
        ("net>=1Gbit", TASK_FIELDS, Condition("net", GE, (1000,))),
        ("load>1.5", NODE_FIELDS, Condition("load", GT, (1.5,))),
        ("label.zone=a", NODE_FIELDS, Condition("label.zone", EQ, ("a",))),
        ("label.a.b-c~x", NODE_FIELDS, Condition("label.a.b-c", HAS, ("x",))),
        ("severity>=error", EVENT_FIELDS, Condition("severity", EQ, ("error", "critical"))),
        ("severity<info", EVENT_FIELDS, Condition("severity", EQ, ("debug",))),
        ("severity=info", EVENT_FIELDS, Condition("severity", EQ, ("info",))),
    ],
)
def test_each_kind_of_field_has_its_own_values(
    text: str, fields: Mapping[str, Field], condition: Condition
) -> None:
    assert read(text, fields) == (condition,)


def test_conditions_stand_side_by_side() -> None:
    assert [each.field for each in read(" state=failed\tname~x\n user=me  ")] == ["state", "name", "user"]
    assert read("") == read("  ") == ()


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("stat=failed", "E_FIELD", 1),
        ("name=x evil=1", "E_FIELD", 8),
        ("name.x=1", "E_FIELD", 1),
        ("=x", "E_FILTER", 1),
        ("name=x 'y'", "E_FILTER", 8),
        ("name", "E_FILTER", 5),
        ("name:x", "E_FILTER", 5),
        ("name=", "E_FILTER", 6),
        ("name=x,", "E_FILTER", 8),
        ("name=,x", "E_FILTER", 6),
        ("name='x", "E_FILTER", 6),
        ('name="x\\"', "E_FILTER", 6),
        ("name=a=b", "E_FILTER", 7),
        ("name='a'state=failed", "E_FILTER", 9),
        ("name<x", "E_FILTER", 5),
        ("state~fail", "E_FILTER", 6),
        ("state=fail", "E_ENUM", 7),
        ("held=maybe", "E_ENUM", 6),
        ("age=1h", "E_FILTER", 4),
        ("exit<none", "E_FILTER", 5),
        ("exit<1,none", "E_FILTER", 8),
        ("exit!=none,x", "E_FILTER", 12),
        ("priority>1,2", "E_FILTER", 12),
        ("priority=1e3", "E_FILTER", 10),
        ("priority=१२", "E_FILTER", 10),
        ("priority=1234567890123456789", "E_FILTER", 10),
        ("age>yesterday-ish", "E_DURATION", 5),
        ("age>400d", "E_DURATION", 5),
        ("submitted>yesterday-ish", "E_TIME", 11),
        ("submitted>2026-11-22T10:00:00", "E_TIME", 11),
        ("submitted>2026-13-01", "E_TIME", 11),
        ("submitted>2026-11-22T25:00:00Z", "E_TIME", 11),
    ],
)
def test_a_refusal_says_where(text: str, code: str, column: int) -> None:
    with pytest.raises(ApiError) as caught:
        read(text)
    error = caught.value.error
    assert (error.code, error.field, error.status) == (code, "/filter", 422)
    assert error.message.startswith(f"at column {column}: ") and "\n" not in error.message


@pytest.mark.parametrize(
    ("text", "fields", "code"),
    [
        ("cpu>many", TASK_FIELDS, "E_UNIT"),
        ("cpu>=1e9", TASK_FIELDS, "E_UNIT"),
        ("memory>4parsecs", TASK_FIELDS, "E_UNIT"),
        ("memory>9999999999T", TASK_FIELDS, "E_RANGE"),
        ("net>x", TASK_FIELDS, "E_UNIT"),
        ("load>heavy", NODE_FIELDS, "E_FILTER"),
        ("label=a", NODE_FIELDS, "E_FIELD"),
        ("label.=a", NODE_FIELDS, "E_FIELD"),
        ("severity>=bad", EVENT_FIELDS, "E_ENUM"),
    ],
)
def test_a_bad_amount_has_its_own_code(text: str, fields: Mapping[str, Field], code: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(text, fields)
    assert caught.value.error.code == code and caught.value.error.expected


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ApiError) as caught:
        read("stat=failed")
    error = caught.value.error
    assert "did you mean state?" in error.message and error.hint == "use state" and "user" in error.expected
    with pytest.raises(ApiError) as caught:
        read("xyzzy=1")
    assert "did you mean" not in caught.value.error.message
    with pytest.raises(ApiError) as caught:
        read("state=faild")
    assert "did you mean failed?" in caught.value.error.expected
    with pytest.raises(ApiError) as caught:
        read("state=xyzzy")
    assert "did you mean" not in caught.value.error.expected


def test_length_and_number_are_bounded() -> None:
    assert len(read(" ".join(["priority>1"] * CONDITIONS_MAX))) == CONDITIONS_MAX
    for text in (" ".join(["priority>1"] * (CONDITIONS_MAX + 1)), "name=" + "x" * LENGTH_MAX):
        with pytest.raises(ApiError) as caught:
            read(text)
        assert caught.value.error.code == "E_FILTER"


@given(
    st.text(max_size=60) | st.from_regex(r"(name|state|age|exit)[=~<>!]{1,2}[ '\"\\,a-z0-9]*", fullmatch=True)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ApiError as refused:
        assert refused.error.field == "/filter" and len(refused.error.got) <= 80


@given(st.text(max_size=40))
def test_any_text_can_be_quoted(text: str) -> None:
    for mark in ("'", '"'):
        escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
        assert read(f"name={mark}{escaped}{mark}") == (Condition("name", EQ, (text,)),)


# orders


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", Order("number", descending=True)),
        ("name", Order("name")),
        ("-name", Order("name", descending=True)),
        ("age", Order("submitted", descending=True)),
        ("-age", Order("submitted")),
    ],
)
def test_an_order_is_read(text: str, order: Order) -> None:
    assert parse_order(text, JOB_FIELDS, Order("number", descending=True)) == order


@pytest.mark.parametrize("text", ["evil", "-", "--name", "name desc", "password_hash", "Name"])
def test_an_unknown_order_lists_the_known(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_order(text, JOB_FIELDS, Order("number"))
    error = caught.value.error
    assert (error.code, error.field) == ("E_FIELD", "/sort") and "submitted" in error.expected


def test_labels_are_no_order() -> None:
    for text in ("label", "label.zone"):
        with pytest.raises(ApiError) as caught:
            parse_order(text, NODE_FIELDS, Order("name"))
        assert "label" not in caught.value.error.expected


# meaning


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (Condition("f", EQ, ("a", "b")), "b", True),
        (Condition("f", EQ, ("a",)), "A", False),
        (Condition("f", EQ, ("",)), None, True),
        (Condition("f", EQ, (None,)), None, True),
        (Condition("f", EQ, (None,)), 0, False),
        (Condition("f", EQ, (0,)), None, False),
        (Condition("f", EQ, (0,), negated=True), None, True),
        (Condition("f", HAS, ("x", "GPU")), "my-gpu-1", True),
        (Condition("f", HAS, ("ä",)), "Ä", False),
        (Condition("f", HAS, ("",)), None, True),
        (Condition("f", HAS, ("x",)), None, False),
        (Condition("f", LT, (5,)), 4, True),
        (Condition("f", LT, (5,)), 5, False),
        (Condition("f", LE, (5,)), 5, True),
        (Condition("f", GT, (5,)), 5, False),
        (Condition("f", GE, (5.0,)), 5, True),
        (Condition("f", GE, (5,)), None, False),
        (Condition("f", LT, (5,)), None, False),
        (Condition("f", LT, (5,)), "4", False),
    ],
)
def test_a_condition_holds_or_not(condition: Condition, value: Value, expected: bool) -> None:
    assert holds(condition, value) is expected


def test_all_conditions_must_hold() -> None:
    things: dict[str, Value] = {"state": "failed", "priority": 7}
    assert matches(read("state=failed priority>5"), things.__getitem__)
    assert not matches(read("state=failed priority>7"), things.__getitem__)
    assert matches((), things.__getitem__)


@given(st.text())
def test_only_the_case_of_ascii_letters_is_ignored(text: str) -> None:
    assert fold(text) == "".join(c.lower() if c.isascii() else c for c in text)


def test_the_fields_are_well_formed() -> None:
    for fields in (JOB_FIELDS, TASK_FIELDS, NODE_FIELDS, EVENT_FIELDS):
        for name, field in fields.items():
            assert name.replace("_", "").isalpha() and name.isascii() and field.about
            assert (field.kind is Kind.CHOICE) == bool(field.choices)
            assert not field.since or fields[field.since].kind is Kind.INSTANT
