"""The bounds on what a message may hold, and the one walk over decoded values that checks them."""

from __future__ import annotations

import math
from typing import Any

from bus.errors import Error
from bus.refusal import quote, refusal

BYTES_MAX = 1024 * 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""What the server carries at most; only the coordinator's answers may use it."""

DEPTH_MAX = 32
KEYS_MAX = 10_000
"""Keys of one object; the bytes bound all objects of a message together."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Flaw:
    """Stands in the decoded tree where a loader met something that no message may hold."""

    __slots__ = ("code", "hint", "message")

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code = code
        self.message = message
        self.hint = hint


def is_clean(tree: object, *, keys_max: int = KEYS_MAX) -> bool:
    """Whether the whole tree keeps the limits. Breadth first: no input can exhaust the stack."""
    level: list[Any] = [tree]
    for _ in range(DEPTH_MAX + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                if len(value) > keys_max or not _is_clean_text("".join(value)):
                    return False
                values = value.values()
            elif kind is list:
                values = value
            elif not _is_clean_scalar(value, kind):
                return False
            else:
                continue
            for item in values:
                inner = type(item)
                if inner is dict or inner is list:
                    below.append(item)
                elif inner is not int and inner is not bool and item is not None:
                    if not _is_clean_scalar(item, inner):
                        return False
                elif inner is int and not INT_MIN <= item <= INT_MAX:
                    return False
        if not below:
            return True
        level = below
    return False


def find_flaws(tree: object) -> list[Error]:
    """What is_clean objected to, with JSON pointers; slow, for the answer to a bad message."""
    found: list[Error] = []
    pending: list[tuple[object, str, int]] = [(tree, "", 1)]
    while pending and len(found) < 20:
        value, pointer, depth = pending.pop()
        if isinstance(value, dict | list) and depth > DEPTH_MAX:
            found.append(
                refusal("E_DEPTH", f"depth > {DEPTH_MAX}", field=pointer, hint="flatten the message")
            )
        elif isinstance(value, dict):
            if len(value) > KEYS_MAX:
                message = f"{len(value)} keys > {KEYS_MAX} in one object"
                found.append(refusal("E_KEYS", message, field=pointer))
            for key in value:
                if not _is_clean_text(key):
                    found.append(refusal("E_CHAR", "NUL or lone surrogate in a key", field=pointer))
            pending.extend(
                (item, f"{pointer}/{escape(key)}", depth + 1) for key, item in reversed(value.items())
            )
        elif isinstance(value, list):
            pending.extend(
                (value[index], f"{pointer}/{index}", depth + 1) for index in reversed(range(len(value)))
            )
        else:
            found.extend(_scalar_flaw(value, pointer))
    return found


def escape(key: str) -> str:
    """A key as a part of a JSON pointer, short and printable."""
    text = key.replace("~", "~0").replace("/", "~1")
    return text.encode("ascii", "backslashreplace").decode()[:80] if not text.isprintable() else text[:80]


def _is_clean_text(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _is_clean_scalar(value: Any, kind: type) -> bool:
    if kind is str:
        return _is_clean_text(value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    return kind is bytes or kind is bool or value is None


def _scalar_flaw(value: object, pointer: str) -> list[Error]:
    where = pointer or "/"
    match value:
        case Flaw():
            return [refusal(value.code, f"{where} {value.message}", field=pointer, hint=value.hint)]
        case str() if "\0" in value:
            return [refusal("E_CHAR", f"NUL not allowed at {where}", field=pointer)]
        case str() if not _is_clean_text(value):
            return [refusal("E_CHAR", f"lone surrogate not allowed at {where}", field=pointer)]
        case bool():
            return []
        case int() if not INT_MIN <= value <= INT_MAX:
            return [refusal("E_NUMBER", f"outside int64 at {where}", field=pointer)]
        case float() if not math.isfinite(value):
            return [refusal("E_NUMBER", f"not a finite number at {where}", field=pointer, got=quote(value))]
        case None | str() | int() | float() | bytes():
            return []
        case _:
            message = f"a {type(value).__name__} is not allowed at {where}"
            return [refusal("E_TYPE", message, field=pointer)]
