"""Where webhooks may lead: only to hosts that are listed, and inside only to networks that are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.destinations import Destinations, Forbidden, Target, resolve


def leading(*addresses: str, hosts: Sequence[str] = ("hooks.example.com",)) -> Destinations:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return addresses

    return Destinations(hosts, lookup=lookup)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://hooks.example.com/",
        "gopher://hooks.example.com/",
        "https://user:pw@hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://@hooks.example.com/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:x/",
        "https:///path",
        "https://",
        "//hooks.example.com/",
        "hooks.example.com",
        "https://evil.example.com/",
        "https://example.com/",
        "https://hooks.example.com.evil.org/",
        "https://evilhooks.example.com/",
        "https://hooks.example.com\\@evil.org/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: evil",
        "https://hooks.example.com/\x00",
        "https://höoks.example.com/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1%25eth0]/",
        "https://[",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://localhost/",
        "https://hooks.example.com/" + "a" * 2000,
        "",
    ],
)
def test_what_is_not_listed_or_not_an_address_is_refused(url: str) -> None:
    with pytest.raises(Forbidden) as caught:
        leading().target(url)
    assert caught.value.fault.code == "E_URL" and caught.value.fault.field == "/url"


def test_by_default_nothing_may_be_called() -> None:
    for url in ("https://example.com/", "https://93.184.216.34/", "http://localhost/"):
        with pytest.raises(Forbidden):
            Destinations().target(url)


def test_a_url_is_taken_apart() -> None:
    there = leading()
    assert there.target("https://Hooks.Example.com/in?a=1") == Target(
        scheme="https", host="hooks.example.com", port=443, path="/in?a=1"
    )
    assert there.target("http://hooks.example.com:8080").authority == "hooks.example.com:8080"
    assert there.target("http://hooks.example.com.:80?x").path == "/?x"
    assert leading(hosts=["fd00::/8"]).target("http://[fd00::7]:81/").authority == "[fd00::7]:81"


def test_a_star_stands_for_what_is_below_a_name_and_not_for_the_name() -> None:
    there = leading(hosts=["*.example.com"])
    assert there.target("https://a.example.com/").host == "a.example.com"
    assert there.target("https://a.b.example.com/").host == "a.b.example.com"
    for url in ("https://example.com/", "https://xexample.com/", "https://example.com.org/"):
        with pytest.raises(Forbidden):
            there.target(url)


def test_an_address_in_the_url_must_lie_in_a_listed_network() -> None:
    there = leading(hosts=["10.1.0.0/16", "127.0.0.1"])
    assert there.target("http://10.1.2.3/").host == "10.1.2.3"
    assert there.target("http://127.0.0.1:8000/").port == 8000
    assert there.target("http://[::ffff:10.1.2.3]/").host == "::ffff:10.1.2.3"
    for url in ("http://10.2.0.1/", "http://127.0.0.2/", "http://[::1]/"):
        with pytest.raises(Forbidden):
            there.target(url)


INSIDE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
]


@pytest.mark.parametrize("address", INSIDE)
async def test_a_listed_name_that_leads_inside_is_refused(address: str) -> None:
    there = leading("93.184.216.34", address)  # also beside one that is in order
    with pytest.raises(Forbidden):
        await there.addresses(there.target("https://hooks.example.com/"))


async def test_a_listed_name_that_leads_outside_is_called_there() -> None:
    there = leading("93.184.216.34", "2606:2800:220:1::1")
    found = await there.addresses(there.target("https://hooks.example.com/"))
    assert found == ["93.184.216.34", "2606:2800:220:1::1"]


async def test_inside_is_allowed_where_the_network_is_listed() -> None:
    there = leading("10.1.2.3", hosts=["hooks.example.com", "10.1.0.0/16"])
    assert await there.addresses(there.target("https://hooks.example.com/")) == ["10.1.2.3"]


async def test_a_name_without_addresses_is_an_error_of_the_world() -> None:
    there = leading()
    with pytest.raises(OSError, match="has no address"):
        await there.addresses(there.target("https://hooks.example.com/"))


async def test_an_answer_that_is_no_address_is_refused() -> None:
    there = leading("not an address")
    with pytest.raises(Forbidden):
        await there.addresses(there.target("https://hooks.example.com/"))


async def test_the_systems_resolver_is_asked() -> None:
    assert "127.0.0.1" in await resolve("127.0.0.1", 80)


@given(st.text(max_size=60))
def test_nothing_that_anybody_writes_leads_elsewhere(text: str) -> None:
    there = leading()
    for url in (
        text,
        f"https://{text}",
        f"https://hooks.example.com{text}",
        f"https://{text}@hooks.example.com",
    ):
        try:
            assert there.target(url).host == "hooks.example.com"
        except Forbidden as error:
            assert error.fault.code == "E_URL"
