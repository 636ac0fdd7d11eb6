"""Addresses as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.address import Address, AddressError, is_loopback, parse_address, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5", "10.0.0.5", None),
        ("10.0.0.5:4222", "10.0.0.5", 4222),
        ("node1.example:1", "node1.example", 1),
        ("::1", "::1", None),
        ("[::1]:65535", "::1", 65_535),
        ("[2001:db8::7]", "2001:db8::7", None),
        ("0.0.0.0", "0.0.0.0", None),
    ],
)
def test_addresses(text: str, host: str, port: int | None) -> None:
    assert parse_address(text) == Address(host, port)
    assert parse_url(f"tls://{text}" if ":" not in host or text.startswith("[") else text) == Address(
        host, port
    )


BAD = ["", " ", "a b", "10.0.0", "10.0.0.256", "host:", "host:0", "host:65536", "host:x", "host:１"]
BAD += ["[host]:1", "[::1", "fe80::1%eth0", "-a", "a..b", "a" * 64, "x" * 254, "a;b", "a\n", "é"]
BAD_URLS = [
    "tls://",
    "http://host",
    "tls://host/path",
    "tls://u:p@host",
    "nats://host?x",
    "tls://[",
    "tls://[x]",
]


@pytest.mark.parametrize("text", BAD + BAD_URLS)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_url(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_url(text)
    except AddressError:
        return
    assert parse_url(address.url()) == Address(address.host, address.port or 4222)


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.3.2.1", "::1")))
    assert not any(map(is_loopback, ("10.0.0.5", "0.0.0.0", "node1", "")))
