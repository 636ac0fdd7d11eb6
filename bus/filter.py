"""Conditions on what is listed: `state=failed,timeout node~gpu age>1h user=me`. All must hold.

A condition is a field, an operator, and a value or several with commas between them (any of them will do).
`parse` turns text into typed conditions; `matches` judges a thing by them, and `coordinator.store.conditions`
makes SQL of them that means the same. docs/filter.md is the guide for people.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NoReturn, assert_never

from msgspec import Struct

from bus.codes import CODES
from bus.errors import ApiError
from bus.faults import nearest
from bus.fields import Field, Kind
from bus.refusal import quote, refusal
from bus.units import UnitError, parse_cpu_millis, parse_duration_s, parse_mbps, parse_size_mib
from bus.values import GPU_MILLI

LENGTH_MAX = 1024
CONDITIONS_MAX = 32

Value = str | int | float | bool | None
"""None: absent."""


class Operator(StrEnum):
    EQUAL = "="
    CONTAINS = "~"  # the case of a-z and A-Z does not matter
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


_FLIPPED = {
    Operator.LESS: Operator.MORE,
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.MORE: Operator.LESS,
    Operator.AT_LEAST: Operator.AT_MOST,
}


_COMPARE: dict[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


class Condition(Struct, frozen=True):
    """Holds where `field` stands to one of `values` as `operator` says; `negated`: where it does not.

    What is absent equals None (and "", for text), contains "", and is neither less nor more than anything.
    Orderings have exactly one value.
    """

    field: str
    operator: Operator
    values: tuple[Value, ...]
    negated: bool = False


class Order(Struct, frozen=True):
    """By which field a list is sorted."""

    field: str
    descending: bool = False


# possessive, so that no text makes it backtrack
_BLANKS = re.compile(r"[ \t\n]*+")
_FIELD = re.compile(r"[A-Za-z_][\w.-]*+", re.ASCII)
_OPERATOR = re.compile(r"!=|!~|<=|>=|=|~|<|>")
_PLAIN = re.compile(r"""[^\s,=~<>!"']++""")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)\"""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_GPUS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(m?)")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def parse(text: str, fields: Mapping[str, Field], *, me: str, now_s: float) -> tuple[Condition, ...]:
    """The conditions in `text`; "me" is the user `me`, and ages count back from `now_s`.

    Raises ApiError: E_FILTER, E_FIELD, E_ENUM, E_TIME, E_DURATION, E_UNIT, E_RANGE, with the column.
    """
    if len(text) > LENGTH_MAX:
        _refuse("E_FILTER", f"{len(text)} characters > {LENGTH_MAX}", hint="ask for less at once")
    reader = _Reader(text, fields, me=me, now_s=now_s)
    found: list[Condition] = []
    while reader.more():
        if len(found) == CONDITIONS_MAX:
            _refuse("E_FILTER", f"more than {CONDITIONS_MAX} conditions", column=reader.column)
        found.append(reader.condition())
    return tuple(found)


def parse_order(text: str, fields: Mapping[str, Field], default: Order) -> Order:
    """The order that `text` asks for: a field, "-" in front for descending. Raises ApiError (E_FIELD)."""
    if not text:
        return default
    name = text.removeprefix("-")
    descending = name != text
    field = fields.get(name)
    if field is None or field.keyed:
        known = [each for each, about in fields.items() if not about.keyed]
        _refuse_field(name, known, pointer="/sort")
    if field.since:
        return Order(field.since, not descending)
    return Order(name, descending)


def matches(conditions: Iterable[Condition], value_of: Callable[[str], Value]) -> bool:
    """Whether all hold of a thing whose field `f` is `value_of(f)`."""
    return all(holds(condition, value_of(condition.field)) for condition in conditions)


def holds(condition: Condition, value: Value) -> bool:
    """Whether one condition holds of its field's value."""
    return _stands(condition, value) != condition.negated


def fold(text: str) -> str:
    """Text as CONTAINS compares it."""
    return text.translate(_LOWER)


def _stands(condition: Condition, value: Value) -> bool:
    match condition.operator:
        case Operator.EQUAL:
            return value in condition.values or (value is None and "" in condition.values)
        case Operator.CONTAINS:
            text = fold(str(value or ""))
            return any(fold(str(part)) in text for part in condition.values)
        case ordering:
            limit = condition.values[0]
            if value is None or isinstance(value, str) or limit is None or isinstance(limit, str):
                return False
            return bool(_COMPARE[ordering](value, limit))


class _Word(Struct, frozen=True):
    """A value as written. Only a bare one can be "me" or "none"."""

    text: str
    column: int
    bare: bool

    def is_none(self, field: Field) -> bool:
        """Whether it means that the field is absent."""
        return self.bare and self.text == "none" and field.optional


class _Reader:
    """Reads conditions from left to right."""

    def __init__(self, text: str, fields: Mapping[str, Field], *, me: str, now_s: float) -> None:
        self._text = text
        self._fields = fields
        self._me = me
        self._now_s = now_s
        self._at = 0

    @property
    def column(self) -> int:
        return self._at + 1

    def more(self) -> bool:
        """Whether anything but blanks is left."""
        self._skip_blanks()
        return self._at < len(self._text)

    def condition(self) -> Condition:
        """The next one."""
        name, field = self._field()
        self._skip_blanks()
        column = self.column
        operator = self._take(_OPERATOR)
        if operator is None:
            _refuse(
                "E_FILTER",
                f"{name} wants an operator",
                column=column,
                got=self._rest(),
                expected="= != ~ !~ < <= > >=",
            )
        self._skip_blanks()
        words = [self._word(name)]
        while self._text.startswith(",", self._at):
            self._at += 1
            words.append(self._word(name))
        if self._rest() and not self._rest()[0].isspace():
            _refuse(
                "E_FILTER",
                f"{name}'s value does not end here",
                column=self.column,
                got=self._rest(),
                expected="a blank or a comma",
                hint="put quotes around what holds blanks, commas or signs",
            )
        _check_operator(name, field, operator, words, column=column)
        return self._typed(name, field, operator, words)

    def _field(self) -> tuple[str, Field]:
        column = self.column
        name = self._take(_FIELD)
        if name is None:
            _refuse(
                "E_FILTER",
                "here a field should stand",
                column=column,
                got=self._rest(),
                expected="a condition such as state=failed",
            )
        head, dot, key = name.partition(".")
        field = self._fields.get(head)
        if field is None or bool(dot) != field.keyed or (field.keyed and not key):
            known = [f"{each}.KEY" if about.keyed else each for each, about in self._fields.items()]
            _refuse_field(name, known, pointer="/filter", column=column)
        return name, field

    def _word(self, name: str) -> _Word:
        column = self.column
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            inside = quoted[1] if quoted[1] is not None else quoted[2]
            return _Word(_ESCAPE.sub(r"\1", inside), column, bare=False)
        plain = self._take(_PLAIN)
        if plain is None:
            open_quote = self._rest()[:1] in ("'", '"')
            _refuse(
                "E_FILTER",
                f"{name} wants a value",
                column=column,
                got=self._rest(),
                expected="the closing quote" if open_quote else "a value",
                hint="put quotes around what holds blanks, commas or signs",
            )
        return _Word(plain, column, bare=True)

    def _typed(self, name: str, field: Field, sign: str, words: list[_Word]) -> Condition:
        values = tuple(self._value(name, field, word) for word in words)
        operator = Operator(sign.removeprefix("!"))
        if operator not in _FLIPPED:
            return Condition(name, operator, values, sign.startswith("!"))
        if field.ranked:
            rank = Condition(name, operator, (field.choices.index(str(values[0])),))
            either = (each for place, each in enumerate(field.choices) if holds(rank, place))
            return Condition(name, Operator.EQUAL, tuple(either))
        if field.since:
            return Condition(field.since, _FLIPPED[operator], (self._now_s - float(values[0] or 0),))
        return Condition(name, operator, values)

    def _value(self, name: str, field: Field, word: _Word) -> Value:
        if word.is_none(field):
            return None
        if word.bare and word.text == "me" and field.person:
            return self._me
        try:
            return _read(field, word.text)
        except UnitError as error:
            title = f"{name}: {CODES[error.code].title}"
            _refuse(error.code, title, column=word.column, got=word.text, expected=error.expected)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        assert blanks is not None, "it matches nothing too"
        self._at = blanks.end()

    def _rest(self) -> str:
        return self._text[self._at :]


def _check_operator(name: str, field: Field, sign: str, words: list[_Word], *, column: int) -> None:
    """That this kind of field can stand so to these values. Raises ApiError."""
    operator = Operator(sign.removeprefix("!"))
    allowed = _operators(field, nothing=all(word.is_none(field) for word in words))
    if operator not in allowed:
        negations = [f"!{each}" for each in allowed if each not in _FLIPPED]
        _refuse(
            "E_FILTER",
            f"{name} cannot be compared with {sign}",
            column=column,
            got=sign,
            expected=" ".join([*allowed, *negations]),
        )
    if operator in _FLIPPED and (len(words) > 1 or words[0].is_none(field)):
        _refuse(
            "E_FILTER",
            f"{sign} takes one value",
            column=words[-1].column,
            got=words[-1].text,
            hint="several values go with = and !=",
        )


def _operators(field: Field, *, nothing: bool) -> tuple[Operator, ...]:
    """Those that a field of this kind can stand in; with `nothing` (none) only "="."""
    if nothing:
        return (Operator.EQUAL,)
    orderings = tuple(_FLIPPED)
    match field.kind:
        case Kind.TEXT:
            return (Operator.EQUAL, Operator.CONTAINS)
        case Kind.CHOICE if field.ranked:
            return (Operator.EQUAL, *orderings)
        case Kind.CHOICE | Kind.FLAG:
            return (Operator.EQUAL,)
        case Kind.DURATION | Kind.INSTANT | Kind.NUMBER:
            return orderings  # no two of these are ever exactly the same
        case _:
            return (Operator.EQUAL, *orderings)


def _read(field: Field, text: str) -> Value:
    """A value as its field's kind reads it. Raises UnitError."""
    match field.kind:
        case Kind.TEXT:
            return text
        case Kind.CHOICE:
            return _choice(text, field.choices)
        case Kind.FLAG:
            return _choice(text, ("yes", "no", "true", "false")) in ("yes", "true")
        case Kind.INTEGER:
            if _INTEGER.fullmatch(text) is None:
                raise UnitError(text, "an integer", "E_FILTER")
            return int(text)
        case Kind.NUMBER:
            if _NUMBER.fullmatch(text) is None:
                raise UnitError(text, "a number", "E_FILTER")
            return float(text)
        case Kind.CPU:
            return 0 if text == "0" else parse_cpu_millis(text)
        case Kind.GPU:
            return _gpu_millis(text)
        case Kind.SIZE:
            return parse_size_mib(text)
        case Kind.RATE:
            return parse_mbps(text)
        case Kind.DURATION:
            return parse_duration_s(text, zero_ok=True)
        case Kind.INSTANT:
            return _instant_s(text)
        case _:
            assert_never(field.kind)


def _gpu_millis(text: str) -> int:
    """Thousandths: here a GPU and a half is an amount like any other."""
    match = _GPUS.fullmatch(text)
    if match is None:
        raise UnitError(text, "GPUs, such as 2, 0.5 or 500m", "E_FILTER")
    return round(float(match[1]) * (1 if match[2] else GPU_MILLI))


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        guess = nearest(text, list(choices))
        meant = f" (did you mean {guess}?)" if guess else ""
        raise UnitError(text, f"one of {', '.join(choices)}{meant}", "E_ENUM")
    return text


def _instant_s(text: str) -> float:
    expected = "a time such as 2026-11-22T10:00:00Z or 2026-11-22T10:00:00+02:00, or a day in UTC"
    if _INSTANT.fullmatch(text) is None:
        raise UnitError(text, expected, "E_TIME")
    try:
        at = datetime.fromisoformat(text.upper())
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UnitError(text, expected, "E_TIME") from None


def _refuse_field(name: str, known: list[str], *, pointer: str, column: int = 0) -> NoReturn:
    guess = nearest(name, known)
    _refuse(
        "E_FIELD",
        f"unknown field {name[:80]!r}" + (f"; did you mean {guess}?" if guess else ""),
        column=column,
        pointer=pointer,
        got=name,
        expected="one of " + ", ".join(known),
        hint=f"use {guess}" if guess else "docs/filter.md says what each field holds",
    )


def _refuse(
    code: str,
    message: str,
    *,
    column: int = 0,
    pointer: str = "/filter",
    got: str = "",
    expected: str = "",
    hint: str = "",
) -> NoReturn:
    where = f"at column {column}: " if column else ""
    got = quote(got) if got else ""
    raise ApiError(
        refusal(code, where + message, field=pointer, got=got, expected=expected, hint=hint)
    ) from None
