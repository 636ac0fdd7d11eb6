"""Which addresses the coordinator may call for others, and where they lead: nothing inside unless listed.

A URL's host must be named in `webhooks.hosts`. What its name resolves to is looked at afterwards, each time,
and the connection goes to the very address that was looked at: a name cannot lead elsewhere between the two.
Public addresses are free; private, loopback, link-local (with it the metadata services of clouds) and other
special ones only where a listed network holds them.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from msgspec import Struct

from bus.refusal import quote
from bus.setting_kinds import HOST_NAME
from coordinator.core.effects import Fault

URL_CHARACTERS_MAX = 2000

_PLAIN = re.compile(r"[!-~]+")
_TRANSLATED = ip_network("64:ff9b::/96")
"""An IPv4 address in the clothes of IPv6: it leads to what it holds."""

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class Target(Struct, frozen=True, kw_only=True):
    """A URL taken apart. `path` begins with "/" and holds the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the header Host says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


class Forbidden(Exception):
    """A URL that may not be called; `fault` says what is wrong with it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Destinations:
    """`hosts`: names ("hooks.example.com", "*.example.com") and networks ("10.1.0.0/16", "127.0.0.1")."""

    def __init__(self, hosts: Sequence[str] = (), *, lookup: Lookup = resolve) -> None:
        self._names = frozenset(host.lower() for host in hosts if _network(host) is None)
        self._networks = tuple(network for host in hosts if (network := _network(host)) is not None)
        self._lookup = lookup

    def target(self, url: str) -> Target:
        """`url` taken apart. Raises Forbidden where it is none that may be called."""
        expected = "http:// or https://, a host and a path, without user, password and fragment"
        if len(url) > URL_CHARACTERS_MAX or not _PLAIN.fullmatch(url) or "\\" in url:
            raise _forbidden(url, f"{expected}, at most {URL_CHARACTERS_MAX} characters of ASCII")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise _forbidden(url, expected) from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "#" in url:
            raise _forbidden(url, expected)
        if port == 0:
            raise _forbidden(url, "a port from 1 to 65535")
        address = _address(host)
        if address is None and not HOST_NAME.fullmatch(host):
            raise _forbidden(url, "a host's name or address")
        if address is None and not self._is_listed(host):
            hint = f"an operator sets webhooks.hosts to hosts that may be called, such as {host}"
            raise _forbidden(url, "a host that webhooks.hosts names", hint=hint)
        if address is not None and not self._is_open(address):
            raise _forbidden(url, "an address of a network that webhooks.hosts names")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(
            scheme=parts.scheme,
            host=host,
            port=port or {"http": 80, "https": 443}[parts.scheme],
            path=path,
        )

    async def addresses(self, target: Target) -> list[str]:
        """Where `target` leads now, all of them allowed. Raises Forbidden, OSError."""
        found = await self._lookup(target.host, target.port)
        for text in found:
            address = _address(text)
            if address is None or not (_is_public(address) or self._is_open(address)):
                hint = "an operator lists the network in webhooks.hosts if it may be called"
                raise _forbidden(text, "a public address, or one of a network in webhooks.hosts", hint=hint)
        if not found:
            raise OSError(f"{target.host} has no address")
        return list(found)

    def _is_listed(self, name: str) -> bool:
        parents = (name.split(".", level)[-1] for level in range(1, name.count(".") + 1))
        return name in self._names or any(f"*.{parent}" in self._names for parent in parents)

    def _is_open(self, address: Address) -> bool:
        """Whether a listed network holds it. (A network never holds an address of the other version.)"""
        return any(address in network for network in self._networks)


def _forbidden(url: str, expected: str, *, hint: str = "") -> Forbidden:
    return Forbidden(Fault(code="E_URL", field="/url", got=quote(url), expected=expected, hint=hint))


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _address(text: str) -> Address | None:
    """What it leads to: an IPv4 address that is written as IPv6 is that IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_public(address: Address) -> bool:
    special = (
        address.is_private,
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_reserved,
        address.is_unspecified,
    )
    return address.is_global and not any(special)
