"""Addresses as people type them: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, with a scheme where a URL is meant."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from msgspec import Struct

NATS_PORT = 4222
SECURE = "tls"

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_HOST_MAX = 253
_SCHEMES = ("tls", "nats")


class AddressError(ValueError):
    """Not an address; the text says what was expected."""


class Address(Struct, frozen=True):
    """A host name or IP address, and a port; None where none was given."""

    host: str
    port: int | None = None

    def url(self, scheme: str = SECURE, *, port: int = NATS_PORT) -> str:
        """As a URL; `port` stands in where none was given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port or port}"


def parse_address(text: str) -> Address:
    """Raises AddressError."""
    host, port = text, None
    if not _is_ipv6(text):
        bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
        if bracketed is not None:
            host, given = bracketed[1], bracketed[2]
            if not _is_ipv6(host):
                raise AddressError("between brackets stands an IPv6 address")
        else:
            host, colon, given = text.partition(":")
            given = given if colon else None
        port = None if given is None else _port(given)
    if not _is_ipv6(host) and not _is_host(host):
        raise AddressError("expected a host name or address, such as 10.0.0.5, node1.example or [::1]:4222")
    return Address(host, port)


def parse_url(text: str) -> Address:
    """The address in `tls://HOST:PORT`; the scheme may be left out, and `nats://` means the same.

    Raises AddressError.
    """
    if "://" not in text:
        return parse_address(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise AddressError("expected tls://HOST:PORT") from None
    if parts.scheme not in _SCHEMES:
        raise AddressError("expected tls://HOST:PORT")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise AddressError("expected tls://HOST:PORT and nothing else")
    return parse_address(parts.netloc)


def is_loopback(host: str) -> bool:
    """Whether it is this machine, reached by nobody else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) is None or not 0 < int(text) < 65_536:
        raise AddressError(f"port {text[:20]!r}; expected 1–65535")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6 and "%" not in text
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    if re.fullmatch(r"[0-9.]+", text):
        try:
            return ipaddress.ip_address(text).version == 4
        except ValueError:
            return False
    return len(text) <= _HOST_MAX and _HOST.fullmatch(text) is not None
