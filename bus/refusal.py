"""One way to make a refusal, whoever refuses: status and wording come from the code's entry in `CODES`."""

from __future__ import annotations

from bus.codes import CODES
from bus.errors import Error
from bus.units import UnitError

GOT_MAX = 80

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "array"),
    (dict, "object"),
)


def refusal(
    code: str,
    message: str = "",
    *,
    field: str = "",
    got: str = "",
    expected: str = "",
    hint: str = "",
    status: int = 0,
    retry_after_s: float | None = None,
) -> Error:
    """An Error with what its code says where nothing else is said."""
    known = CODES[code]
    return Error(
        code=code,
        message=message or known.title,
        field=field,
        got=got,
        expected=expected,
        hint=hint,
        status=status or known.status,
        retryable=known.retryable or retry_after_s is not None,
        retry_after_s=retry_after_s,
    )


def refused_amount(error: UnitError, field: str) -> Error:
    """The refusal of an amount that stands at `field`."""
    return refusal(error.code, field=field, got=quote(error.got), expected=error.expected)


def quote(value: object) -> str:
    """A value as an error may quote it: at most GOT_MAX characters, none of which a terminal obeys."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = repr(value[:GOT_MAX])
        case list() | dict() | tuple():
            return kind_of(value)
        case int() if value.bit_length() > 64:
            return "an integer outside int64"
        case _:
            text = str(value)
    return text if len(text) <= GOT_MAX else text[: GOT_MAX - 1] + "…"


def describe(value: object) -> str:
    """The kind of a value, and the value where it is short to tell: "string '4'", "array"."""
    kind = kind_of(value)
    return f"{kind} {quote(value)}"[:GOT_MAX] if isinstance(value, bool | int | float | str) else kind


def kind_of(value: object) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), type(value).__name__)
