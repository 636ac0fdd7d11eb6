"""TLS towards PostgreSQL: asked for wherever the way there leaves this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

DEFAULTS = {"sslmode": "verify-full", "ssl_min_protocol_version": "TLSv1.3"}
"""The server's name and certificate are checked: without that, TLS would hide the talk from all but whoever
stands between. What the address says itself is left alone."""


def with_tls(dsn: str) -> str:
    """`dsn` (a URL), with what it leaves unsaid where a host in it is another machine."""
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    hosts = parts.netloc.rpartition("@")[2].split(",") + options.get("host", "").split(",")
    if all(_is_here(host) for host in hosts):
        return dsn
    if options.get("sslmode") == "disable":
        return dsn  # said by hand: nothing else about TLS may stand beside it
    query = urlencode(DEFAULTS | options, quote_via=quote, safe="/")
    return urlunsplit(parts._replace(query=query))


def _is_here(place: str) -> bool:
    """No host at all or a path is a socket of this machine."""
    host = place
    if place.startswith("["):
        host = place[1:].partition("]")[0]
    elif place.count(":") == 1:
        host = place.partition(":")[0]
    if not host or host.startswith(("/", "%2F", "%2f", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
