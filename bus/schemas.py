"""What a JSON Schema (2020-12) says of a value, in bounded time: for who keeps schemas, and for who fills in.

A value is checked in at most `CHECKS_MAX` applications of a rule; what needs more is a fault of its own. A
schema is one that the registry took (`coordinator.schemas`): it refers only to itself, and its patterns
take linear time (RE2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from msgspec import Struct

from bus.refusal import quote

QUICK_MAX = 1_000
"""Applications of a rule that take some milliseconds: what needs more is checked elsewhere than in a loop."""

CHECKS_MAX = 50_000
FAULTS_MAX = 5

Json = dict[str, Any]
_Rule = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

_left: ContextVar[list[int]] = ContextVar("checks left")


class Overrun(Exception):
    """Checking took too many steps."""


class Broken(Struct, frozen=True):
    """A rule that a value breaks. `pointer`: where in the value; `rule`: the keyword."""

    pointer: str
    rule: str
    got: str
    expected: str


def broken(schema: Json, value: object, *, checks: int = CHECKS_MAX) -> list[Broken]:
    """The first few rules that `value` breaks. Raises Overrun."""
    token = _left.set([checks])
    try:
        errors = islice(_validator(_key(schema)).iter_errors(value), FAULTS_MAX)
        return [_told(error) for error in errors]
    except RecursionError as error:
        raise Overrun("the schema goes around in circles") from error
    finally:
        _left.reset(token)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """An RE2 of a pattern. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)


def _matches(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not compiled(pattern).search(instance):
        yield ValidationError("does not match")


def _unique(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and validator.is_type(instance, "array"):
        seen = {json.dumps(_plain(each), sort_keys=True) for each in instance}
        if len(seen) < len(instance):
            yield ValidationError("not unique")


def _plain(value: Any) -> Any:
    """So that 1 and 1.0 are the same text, as they are the same number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def _counted(rule: _Rule) -> _Rule:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        left = _left.get()
        left[0] -= 1
        if left[0] < 0:
            raise Overrun(f"it takes more than {CHECKS_MAX} checks")
        return rule(validator, value, instance, schema)

    return counted


_RULES = {**Draft202012Validator.VALIDATORS, "pattern": _matches, "uniqueItems": _unique}
_Checker = extend(Draft202012Validator, {name: _counted(rule) for name, rule in _RULES.items()})


def _key(schema: Json) -> str:
    return json.dumps(schema, sort_keys=True)


@lru_cache(maxsize=512)
def _validator(key: str) -> Any:
    return _Checker(json.loads(key))


_COUNTED = {
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
"""Rules that count what is in a value: the value itself would say nothing."""


def _told(error: ValidationError) -> Broken:
    rule = str(error.validator)
    expected = json.dumps(error.validator_value, ensure_ascii=False)
    got = quote(error.instance)
    if (counted := _COUNTED.get(rule)) is not None:
        expected, got = counted.format(expected), str(len(error.instance))
    return Broken(
        pointer=pointer_of(error.absolute_path),
        rule=rule,
        got=got,
        expected=expected if len(expected) <= 80 else expected[:79] + "…",
    )


def pointer_of(path: Any) -> str:
    """The parts of a path as a JSON Pointer."""
    return "".join(f"/{escaped(str(part))}" for part in path)


def escaped(key: str) -> str:
    """A key as a part of a JSON Pointer, cut."""
    return key.replace("~", "~0").replace("/", "~1")[:80]
