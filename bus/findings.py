"""What a look at an installation found: lines of `corral doctor`, whoever looked."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works; something could be lost, or is less safe than it could be
    FAIL = "fail"


class Finding(Struct, frozen=True, kw_only=True):
    """`area` groups ("nats"); `hint` says what to do where the level is not ok."""

    area: str
    level: Level
    message: str
    hint: str = ""


def ok(area: str, message: str) -> Finding:
    return Finding(area=area, level=Level.OK, message=message)


def warn(area: str, message: str, hint: str) -> Finding:
    return Finding(area=area, level=Level.WARN, message=message, hint=hint)


def fail(area: str, message: str, hint: str) -> Finding:
    return Finding(area=area, level=Level.FAIL, message=message, hint=hint)
