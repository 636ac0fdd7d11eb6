"""What values settings take: from text or TOML to a checked value, and how a value is shown."""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bus.contents import BUCKET
from bus.declared_pools import PoolDeclared
from bus.mounts import VOLUME_NAME, path_fault
from bus.units import UnitError, parse_size_mib

Value = str | int

EMBEDDED = "embedded"
"""The database that Corral brings along."""

SYSTEM = "system"
"""The authorities that the system trusts."""

CAPABILITY = re.compile(r"[a-z0-9_]{2,50}")
"""What a tool asks of an agent by this name (whole string)."""

_REPLICAS = re.compile(r"replicas=([2-9]|[1-9][0-9]|100)")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,14}")

INTERFACE_KINDS = ("management", "data", "storage", "cluster")
"""What a network interface can be for."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
"""A host's name (whole string); an IPv4 address looks like one, too."""

HOSTS_MAX = 100
AGENTS_MAX = 64
SILENCE_MIN_S, SILENCE_MAX_S = 5, 600
AGEING_MIN_MIN, AGEING_MAX_MIN = 1, 100_000
DAYS_MAX = 9999
HOURS_MAX = 8760
RATE_MAX_MIB = 9999
MASK = "****"
POOL_TIERS = ("nvme", "ssd", "standard", "cold")


class Kind(StrEnum):
    PATH = "path"
    AUTHORITY = 'PEM file of certificates, or "system"'
    NATS_URL = "NATS address"
    DSN = "PostgreSQL address"
    AGENTS = "number"
    SILENCE = "number of seconds"
    MINUTES = "number of minutes"
    DAYS = "number of days"
    HOURS = "number of hours"
    RATE = "number of MiB a second"
    CAPABILITIES = "names, as a list or with commas between"
    INTERFACES = "pairs, as a list or with commas between"
    FOLDERS = "absolute paths, as a list or with commas between"
    POOLS = "pools, as a list or with commas between"
    BUCKETS = "buckets, as a list or with commas between"
    WEB_URL = "address of a web server"
    SIZE = "size"
    HOSTS = "hosts and networks, as a list or with commas between"
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
    if kind is Kind.HOURS:
        return _count(value, 0, HOURS_MAX)
    if kind is Kind.RATE:
        return _count(value, 0, RATE_MAX_MIB)
    if kind is Kind.CAPABILITIES:
        return _capabilities(value)
    if kind is Kind.INTERFACES:
        return _interfaces(value)
    if kind is Kind.FOLDERS:
        return _folders(value)
    if kind is Kind.POOLS:
        return _pools(value)
    if kind is Kind.BUCKETS:
        return _buckets(value)
    if kind is Kind.HOSTS:
        return _hosts(value)
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
        case Kind.WEB_URL:
            return _web_url(value)
        case Kind.SIZE:
            return _size(value)
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


def _capabilities(value: Any) -> str:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(
        isinstance(name, str) and CAPABILITY.fullmatch(name) for name in names
    ):
        raise ValueError("names such as text_generation, each 2 to 50 of a-z, 0-9 and _")
    return ",".join(dict.fromkeys(names))


def _interfaces(value: Any) -> str:
    pairs = value.split(",") if isinstance(value, str) else value
    if not isinstance(pairs, list) or not all(isinstance(pair, str) for pair in pairs):
        raise ValueError("pairs such as eth1=data")
    return ",".join(f"{name}={kind}" for pair in pairs for name, kind in parse_interfaces(pair).items())


def parse_interfaces(text: str) -> dict[str, str]:
    """ "eth1=data,ib0=cluster" as names and kinds. Raises ValueError saying what is expected."""
    found = {}
    for pair in text.split(","):
        name, _, kind = pair.partition("=")
        if _INTERFACE.fullmatch(name) is None or kind not in INTERFACE_KINDS:
            raise ValueError(f"NAME=TYPE such as eth1=data; TYPE is one of {', '.join(INTERFACE_KINDS)}")
        found[name] = kind
    return found


def _pools(value: Any) -> str:
    words = _words(value)
    for word in words:
        parse_pool(word)
    return ",".join(words)


def parse_pool(text: str) -> PoolDeclared:
    """ "fast=/srv/fast:100GiB", then :TIER, :compress, :encrypt, :replicas=2 in any order.

    Raises ValueError saying what is expected.
    """
    name, _, rest = text.partition("=")
    path, _, rest = rest.partition(":")
    size, *words = rest.split(":")
    tiers = [word for word in words if word in POOL_TIERS]
    counts = [int(found[1]) for word in words if (found := _REPLICAS.fullmatch(word))]
    flags = [word for word in words if word in ("compress", "encrypt")]
    try:
        size_mib = parse_size_mib(size)
    except UnitError:
        size_mib = 0
    is_sound = VOLUME_NAME.fullmatch(name) is not None and not path_fault(path) and size_mib >= 1
    is_said = len(words) == len(tiers) + len(counts) + len(flags) and len(set(flags)) == len(flags)
    if not is_sound or not is_said or len(tiers) > 1 or len(counts) > 1:
        tier = "|".join(POOL_TIERS)
        raise ValueError(
            f"NAME=/PATH:SIZE[:{tier}][:compress][:encrypt][:replicas=N], such as fast=/srv/fast:100GiB:nvme"
        )
    return PoolDeclared(
        name=name,
        path=path,
        size_mib=size_mib,
        tier=tiers[0] if tiers else "standard",
        compress="compress" in flags,
        encrypt="encrypt" in flags,
        replicas=counts[0] if counts else 1,
    )


def _words(value: Any) -> list[str]:
    """As a list, each once. Raises ValueError."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise ValueError("one or more, as a list or with commas between")
    if not all(isinstance(word, str) and word and word.isprintable() and "," not in word for word in words):
        raise ValueError("texts without commas in them")
    return list(dict.fromkeys(words))


def _folders(value: Any) -> str:
    folders = _words(value)
    for folder in folders:
        parts = folder.rstrip("/").split("/")
        if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
            raise ValueError("absolute paths such as /srv/data, not / itself, without . and ..")
    return ",".join(folders)


def _buckets(value: Any) -> str:
    buckets = _words(value)
    if not all(BUCKET.fullmatch(bucket.split("/")[0]) for bucket in buckets):
        raise ValueError("BUCKET or BUCKET/PREFIX: names of 3 to 63 of a-z, 0-9, . and -")
    return ",".join(buckets)


def _web_url(text: str) -> str:
    expected = "https://HOST or http://HOST:PORT"
    parts = _split(text, expected)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.query
    ):
        raise ValueError(expected)
    return text


def _size(text: str) -> str:
    try:
        parse_size_mib(text)
    except UnitError as error:
        raise ValueError(error.expected) from None
    return text


def _hosts(value: Any) -> str:
    expected = "names such as hooks.example.com or *.example.com, and networks such as 10.1.0.0/16"
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, list) or len(hosts) > HOSTS_MAX:
        raise ValueError(f"at most {HOSTS_MAX} {expected}")
    found = [host.strip().lower() if isinstance(host, str) else "" for host in hosts]
    if not all(_is_network(host) or HOST_NAME.fullmatch(host.removeprefix("*.")) for host in found):
        raise ValueError(expected)
    return ",".join(dict.fromkeys(found))


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


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
