"""A NATS server that somebody else runs: refused with a reason, or told of revocations that outlast it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus import own, server
from bus.admission import ask_admission
from bus.api import Admitted
from bus.auth import Authority
from bus.codec import Codec, decode, encode
from bus.connection import NatsBus
from bus.errors import CredentialsError
from bus.layout import Layout
from bus.requests import Admission
from bus.setting_kinds import SYSTEM
from bus.subjects import AuthVerb, auth
from bus.tokens import TokenKind, new_token
from bus.transport import Message
from bus.trust import Refused, Untrusted, read_authority
from bus.values import Role
from coordinator.own_servers import OwnServers, Unusable, check_nats, load_authority
from tests.certificates import Issuer
from tests.own_servers import nats

OLD = b'INFO {"version":"2.9.21","max_payload":1048576,"jetstream":true}\r\n'


@asynccontextmanager
async def greeting_of(line: bytes) -> AsyncIterator[str]:
    """The URL of something that greets like this."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        yield f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create_or_load(tmp_path / "keys")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (OLD, r"nats-server 2\.9\.21; 2\.10\.23 or newer is needed"),
        (OLD.replace(b"2.9.21", b"2.10.22"), "2.10.23 or newer"),
        (OLD.replace(b"2.9.21", b"2.10.23").replace(b"true", b"false"), "without JetStream"),
        (OLD.replace(b"2.9.21", b"2.11.0-RC.1"), "does not trust this cluster's operator"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no NATS server"),
        (b"INFO [1]\r\n", "no NATS server"),
        (b"", "no NATS server"),
    ],
)
async def test_what_cannot_carry_a_cluster_is_refused(line: bytes, words: str, authority: Authority) -> None:
    async with greeting_of(line) as url:
        with pytest.raises(own.ServerUnfit, match=words) as refused:
            await own.check(url, authority, include="corral.conf")
        assert refused.value.hint or "no NATS server" in words


async def test_nobody_there_names_the_host(authority: Authority) -> None:
    port = server.free_port()
    with pytest.raises(own.ServerAway, match=f"127.0.0.1:{port}: Connection refused"):
        await own.check(f"nats://127.0.0.1:{port}", authority, include="")


def test_a_server_that_lets_anybody_in_is_refused(tmp_path: Path, authority: Authority) -> None:
    with nats(tmp_path, server.free_port(), "") as url, pytest.raises(own.ServerUnfit) as refused:
        asyncio.run(own.check(url, authority, include="/x/corral.conf"))
    assert 'include "/x/corral.conf"' in refused.value.hint


def test_a_server_of_another_operator_is_refused(tmp_path: Path, authority: Authority) -> None:
    other = Authority.create_or_load(tmp_path / "other")
    text = own.include_text(other, accounts=str(tmp_path / "accounts"))
    with nats(tmp_path, server.free_port(), text) as url, pytest.raises(own.ServerUnfit, match="operator"):
        asyncio.run(own.check(url, authority, include="x"))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("tls"))


@pytest.mark.contract("S2.97")
@pytest.mark.parametrize(
    ("names", "expired", "ca", "why"),
    [
        (["localhost"], False, "its own", ""),
        (["bus1.example"], False, "its own", "Hostname mismatch"),
        (["localhost"], True, "its own", "certificate has expired"),
        (["localhost"], False, "system", "unable to get local issuer certificate"),
        (["localhost"], False, "the cluster's", "unable to get local issuer certificate"),
    ],
    ids=["good", "name", "expired", "unknown", "corral"],
)
def test_a_server_with_tls_of_its_own_proves_itself_or_is_not_used(
    tmp_path: Path, issuer: Issuer, names: list[str], expired: bool, ca: str, why: str
) -> None:
    """B117, as `corral up` asks before it starts anything: one line with the host."""
    named = {"its own": str(issuer.ca), "system": SYSTEM}.get(ca, SYSTEM)
    servers = OwnServers(nats_ca=named, nats="tls://localhost")
    authority = load_authority(Layout(tmp_path), servers)
    if ca == "the cluster's":
        authority = Authority.create_or_load(Layout(tmp_path).keys)
    text = own.include_text(authority, accounts=str(tmp_path / "accounts"))
    certificate = issuer.issue(names, expired=expired)
    with nats(tmp_path / "nats", server.free_port(), text, tls=certificate) as url:
        checking = check_nats(url, authority, include=tmp_path / "corral.conf")
        if not why:
            asyncio.run(checking)
            return
        with pytest.raises(Unusable, match=why) as refused:
            asyncio.run(checking)
    assert (refused.value.error.code, refused.value.exit_code) == ("E_TLS", 4)
    assert url in refused.value.error.message and "\n" not in refused.value.error.message
    assert "nats.ca" in refused.value.error.hint


def test_who_comes_in_from_elsewhere_says_whose_certificate_it_is(tmp_path: Path, issuer: Issuer) -> None:
    """A token proves the cluster's own authority; nats.ca takes its place, and stays in the credentials."""
    authority = load_authority(Layout(tmp_path), OwnServers(nats="tls://localhost", nats_ca=str(issuer.ca)))
    token = new_token(TokenKind.USER, authority.anchor())

    async def come_in(url: str) -> None:
        with pytest.raises(Untrusted):
            await ask_admission(url, token)
        bus = await NatsBus.connect(url, authority.mint_coordinator(), name="test")

        async def admit(message: Message) -> None:
            asked = decode(message.data, Admission)
            jwt = authority.user_jwt("ann", Role.USER, key=asked.key)
            await bus.publish(message.reply, encode(Admitted(name="ann", jwt=jwt), Codec.JSON))

        await bus.subscribe(auth(AuthVerb.LOGIN), admit)
        credentials = await ask_admission(url, token, ca=str(issuer.ca))
        assert credentials.ca == issuer.ca.read_text()
        ann = await NatsBus.connect(url, credentials, name="test")
        assert ann.tls_version == "TLSv1.3"
        await ann.close()
        await bus.close()

    text = own.include_text(authority, accounts=str(tmp_path / "accounts"))
    with nats(tmp_path / "nats", server.free_port(), text, tls=issuer.issue(["localhost"])) as url:
        asyncio.run(come_in(url))


@pytest.mark.parametrize("content", [None, "no certificate", "\xff"])
def test_an_authority_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(CredentialsError, match=f"nats.ca: cannot use {path}") as refused:
        read_authority(str(path))
    assert refused.value.code == "E_CONFIG"


def test_with_the_include_it_serves_and_a_revocation_outlasts_it(
    tmp_path: Path, authority: Authority
) -> None:
    port, written_at = server.free_port(), int(time.time())
    text = own.include_text(authority, accounts=str(tmp_path / "accounts"))
    alice, bob = authority.mint_user("alice", Role.USER), authority.mint_user("bob", Role.USER)

    async def revoke(url: str) -> None:
        assert (await own.check(url, authority, include="x")).operator_mode
        assert not (await own.durability(url, authority)).sync_always
        bus = await NatsBus.connect(url, alice, name="test")
        while int(time.time()) <= written_at:  # of two accounts made in one second the server keeps either
            await asyncio.sleep(0.05)
        authority.revoke(alice.public_key)
        await own.push_claims(url, authority)
        async with asyncio.timeout(20):
            while bus.connected:
                await asyncio.sleep(0.01)
        await bus.close()

    async def after(url: str) -> None:
        with pytest.raises(Refused):
            await NatsBus.connect(url, alice, name="test")
        await (await NatsBus.connect(url, bob, name="test")).close()

    with nats(tmp_path, port, text) as url:
        asyncio.run(revoke(url))

    async def second_machine(url: str) -> None:
        keys = tmp_path / "copy"
        shutil.copytree(tmp_path / "keys", keys, ignore=shutil.ignore_patterns("revoked.json"))
        copy = Authority.create_or_load(keys)
        carol = copy.mint_user("carol", Role.USER)
        copy.revoke(carol.public_key)
        pushed_at = int(time.time())
        while int(time.time()) <= pushed_at:
            await asyncio.sleep(0.05)
        await own.push_claims(url, copy)
        assert copy.revoked().keys() == {alice.public_key, carol.public_key}
        for revoked in (alice, carol):
            with pytest.raises(Refused):
                await NatsBus.connect(url, revoked, name="test")

    with nats(tmp_path, port, text) as url:  # the include file still says what it said at first
        asyncio.run(after(url))
        asyncio.run(second_machine(url))
