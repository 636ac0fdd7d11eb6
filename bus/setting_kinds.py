"""What values settings take: from text or TOML to a checked value, and how a value is shown."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Value = str | int

EMBEDDED = "embedded"
"""The database that Corral brings along."""

SYSTEM = "system"
"""The authorities that the system trusts."""

AGENTS_MAX = 64
SILENCE_MIN_S, SILENCE_MAX_S = 5, 600
AGEING_MIN_MIN, AGEING_MAX_MIN = 1, 100_000
DAYS_MAX = 9999
MASK = "****"


class Kind(StrEnum):
    PATH = "path"
    AUTHORITY = 'PEM file of certificates, or "system"'
    NATS_URL = "NATS address"
    DSN = "PostgreSQL address"
    AGENTS = "number"
    SILENCE = "number of seconds"
    MINUTES = "number of minutes"
    DAYS = "number of days"
    CHOICE = "choice"


def convert(kind: Kind, value: Any, *, choices: tuple[str, ...] = (), base: Path | None = None) -> Value:
    """`value` checked; a relative path is one below `base`. Raises ValueError saying what is expected."""
    if kind is Kind.AGENTS:
        return _count(value, 0, AGENTS_MAX)
    if kind is Kind.SILENCE:
        return _count(value, SILENCE_MIN_S, SILENCE_MAX_S)
    if kind is Kind.MINUTES:
        return _count(value, AGEING_MIN_MIN, AGEING_MAX_MIN)
    if kind is Kind.DAYS:
        return _count(value, 0, DAYS_MAX)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"a text, one of {', '.join(choices)}" if choices else f"a text, a {kind}")
    match kind:
        case Kind.AUTHORITY if value == SYSTEM:
            return value
        case Kind.PATH | Kind.AUTHORITY:
            path = expanded(value)
            return str((base / path if base else path).absolute())
        case Kind.NATS_URL:
            return _nats_url(value)
        case Kind.DSN:
            return _dsn(value)
        case Kind.CHOICE:
            if value not in choices:
                raise ValueError(f"one of {', '.join(choices)}")
            return value


def expanded(text: str) -> Path:
    """With `~` as the home folder. Raises ValueError for the home of somebody who does not exist."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path; nobody has such a home folder") from None


def masked(kind: Kind, value: object) -> str:
    """As text, without the password that an address may hold."""
    text = str(value)
    if kind is not Kind.DSN and kind is not Kind.NATS_URL:
        return text
    # up to the last @: also a password that is not quoted as it should be
    text = re.sub(r"(//[^:@/]*:).*(@)", rf"\1{MASK}\2", text)
    return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&#]*", rf"\1{MASK}", text)


def _count(value: Any, least: int, most: int) -> int:
    expected = f"a whole number from {least} to {most}"
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value, re.ASCII):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(expected)
    return value


def _nats_url(text: str) -> str:
    expected = "nats://HOST:PORT or tls://HOST:PORT"
    parts = _split(text, expected)
    if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(expected)
    if parts.username is not None:
        raise ValueError(f"{expected}, without a user or password: credentials are a file")
    return text


def _dsn(text: str) -> str:
    if text == EMBEDDED:
        return text
    expected = f'postgresql://USER@HOST:PORT/NAME, or "{EMBEDDED}"'
    parts = _split(text, expected)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValueError(expected)
    return text


def _split(text: str, expected: str) -> Any:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise ValueError(expected) from None
    return parts
