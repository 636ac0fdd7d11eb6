"""Whom a client talks to: a server that proves itself over TLS 1.3; and for how long, where it is refused."""

from __future__ import annotations

import asyncio
import select
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats.aio.transport import TcpTransport

from bus import server
from bus.admission import ask_admission
from bus.auth import Authority, public_credentials
from bus.connection import ConnectionState, NatsBus
from bus.credentials import Credentials
from bus.errors import BusError, CredentialsError, Disconnected, Forbidden
from bus.subjects import AuthVerb, auth
from bus.tokens import TokenKind, new_token
from bus.transport import Message
from bus.trust import Refused, Untrusted
from bus.values import Role

HOST = "127.0.0.1"
GREETING = b'INFO {"server_id":"x","version":"2.15.1","nonce":"abc","auth_required":true}\r\n'


def listening(folder: Path, authority: Authority, names: list[str]) -> server.NatsProcess:
    certificate = authority.tls.issue(names, now=datetime.now(UTC))
    listen = server.Listen(host=HOST, certificate=certificate)
    return server.prepare(folder / "nats", port=0, authority=authority, listen=listen)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create_or_load(tmp_path / "keys")


@pytest.fixture
async def process(tmp_path: Path, authority: Authority) -> AsyncIterator[server.NatsProcess]:
    """A server of ours that other machines may reach."""
    process = listening(tmp_path, authority, [HOST])
    async with server.running(process):
        yield process


async def ignore(message: Message) -> None:
    """A handler for subscriptions that matter only for being allowed."""


@pytest.mark.contract("S2.97")
@pytest.mark.parametrize(("version", "accepted"), [("-tls1_2", False), ("-tls1_3", True)])
async def test_nothing_older_than_tls_1_3_is_spoken(
    process: server.NatsProcess, authority: Authority, tmp_path: Path, version: str, accepted: bool
) -> None:
    (tmp_path / "ca.pem").write_text(authority.ca)
    command = ["openssl", "s_client", "-connect", f"{HOST}:{process.port}", version]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "-CAfile", str(tmp_path / "ca.pem"), "-verify_return_error"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert ("New, TLSv1.3" in done.stdout) is accepted
    assert ("alert protocol version" in done.stderr) is not accepted


async def test_credentials_carry_whom_to_trust(process: server.NatsProcess, authority: Authority) -> None:
    assert process.url == f"tls://{HOST}:{process.port}"
    alice = authority.mint_user("alice", Role.USER)
    bus = await NatsBus.connect(process.url, alice, name="a")
    await bus.flush()
    await bus.close()


async def test_who_begins_too_late_is_greeted_and_comes_in_all_the_same(
    tmp_path: Path, authority: Authority
) -> None:
    """A client on a busy machine: the server waited for TLS in vain, and greets in plain text."""
    process = listening(tmp_path, authority, [HOST])
    settings = process.folder / "nats.conf"
    settings.write_text(settings.read_text().replace('handshake_first: "100ms"', 'handshake_first: "1ms"'))
    async with server.running(process):
        for late in (0.0, 0.05):
            alice = authority.mint_user("alice", Role.USER)
            with pytest.MonkeyPatch.context() as patch:
                connect_tls = TcpTransport.connect_tls

                async def begin_late(*arguments: Any, late: float = late, tls: Any = connect_tls) -> None:
                    await asyncio.sleep(late)
                    await tls(*arguments)

                patch.setattr(TcpTransport, "connect_tls", begin_late)
                bus = await NatsBus.connect(process.url, alice, name="a")
            assert bus.tls_version == "TLSv1.3"
            await bus.close()


async def test_without_tls_the_server_says_no_more_than_its_greeting(
    process: server.NatsProcess, authority: Authority
) -> None:
    with pytest.raises(BusError):
        await NatsBus.connect(
            f"nats://{HOST}:{process.port}", authority.mint_user("alice", Role.USER), name="a", timeout_s=1
        )


async def test_a_server_of_another_authority_is_told_nothing(
    process: server.NatsProcess, tmp_path: Path
) -> None:
    """Whoever stands between has some certificate, but not this one: the secret stays here."""
    ours = Authority.create_or_load(tmp_path / "ours")
    with pytest.raises(Untrusted, match="cannot be trusted") as refused:
        await ask_admission(process.url, new_token(TokenKind.NODE, ours.anchor()))
    assert refused.value.code == "E_TLS"


async def test_a_name_that_the_certificate_lacks_is_no_proof(tmp_path: Path, authority: Authority) -> None:
    process = listening(tmp_path, authority, ["elsewhere.example"])
    async with server.running(process):
        with pytest.raises(Untrusted):
            await NatsBus.connect(process.url, authority.mint_user("alice", Role.USER), name="a")


@asynccontextmanager
async def impostor(greeting: bytes) -> AsyncIterator[tuple[str, bytearray]]:
    """A server without TLS that greets as it likes; what it hears is collected. It hangs up on nobody."""
    heard = bytearray()
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        with suppress(OSError):
            while data := await reader.read(65_536):
                heard.extend(data)
        writer.close()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(on_connection, HOST, 0) as listener:
        yield f"tls://{HOST}:{listener.sockets[0].getsockname()[1]}", heard
        async with asyncio.timeout(10):
            await asyncio.gather(*talks)


def without_ca(credentials: Credentials) -> Credentials:
    bare, _, _ = credentials.text.partition("-----BEGIN CERTIFICATE-----")
    return Credentials(credentials.name, credentials.peer, credentials.role, bare)


@pytest.mark.parametrize("prepare", [lambda credentials: credentials, without_ca])
async def test_an_offer_without_tls_is_not_taken(
    authority: Authority, prepare: Callable[[Credentials], Credentials]
) -> None:
    """Neither where our own server is expected, nor where one is that greets before TLS."""
    alice = prepare(authority.mint_user("alice", Role.USER))
    async with impostor(GREETING) as (url, heard):
        with pytest.raises(Disconnected):
            await NatsBus.connect(url, alice, name="a", timeout_s=1)
        assert alice.jwt.encode() not in heard
        assert b"CONNECT" not in heard


async def test_who_is_refused_hangs_up_at_once(authority: Authority, tmp_path: Path) -> None:
    """Also on a server that says no more: a polite end of TLS would wait for it."""
    talks: list[asyncio.StreamWriter] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING.replace(b"}", b',"tls_required":true}'))
        await reader.readline()
        talks.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"-ERR 'Authorization Violation'\r\n")

    certificate = authority.tls.issue([HOST], now=datetime.now(UTC))
    (tmp_path / "certificate.pem").write_text(certificate.certificate + certificate.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "certificate.pem")
    async with await asyncio.start_server(refuse, HOST, 0, ssl=context) as listener:
        url = f"tls://{HOST}:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(Refused):
            await NatsBus.connect(url, authority.mint_user("alice", Role.USER), name="a")
        ends = select.poll()
        ends.register(talks[0].get_extra_info("socket"), select.POLLRDHUP)
        async with asyncio.timeout(10):
            while not ends.poll(0):
                await asyncio.sleep(0.02)
        talks[0].transport.abort()


async def test_the_public_credential_may_ask_for_admission_and_nothing_else(
    process: server.NatsProcess, authority: Authority
) -> None:
    public = await NatsBus.connect(process.url, public_credentials(authority.anchor()), name="p")
    subjects = [
        "corral.u.alice.job.submit", "corral.u.public.job.submit", "corral.node.n1.register",
        "corral.auth.other", "corral.node.n1.command", "corral.feed.alice.job.1",
        "$JS.API.INFO", "$SRV.PING", "_INBOX_alice.x",
        "_INBOX_P_public.x", "$SYS.REQ.SERVER.PING", "$KV.corral_cluster.state",
    ]  # fmt: skip
    for subject in subjects:
        await public.publish(subject, b"")
        with pytest.raises(Forbidden):
            await public.flush()
    for subject in ("corral.>", "corral.auth.join", "_INBOX.>", "_INBOX_alice.>", "$SYS.>", "$KV.>", ">"):
        with pytest.raises(Forbidden):
            await public.subscribe(subject, ignore)
    for verb in AuthVerb:
        await public.publish(auth(verb), b"")
    await public.flush()
    await public.close()


async def test_a_token_of_another_account_is_refused_by_the_server(
    process: server.NatsProcess, authority: Authority, tmp_path: Path
) -> None:
    """The right server, but a public credential that its account never signed."""
    other = Authority.create_or_load(tmp_path / "other")
    anchor = authority.anchor()
    forged = type(anchor)(
        anchor.root_key, anchor.root_signature, other.anchor().account, other.anchor().public_signature
    )
    with pytest.raises(CredentialsError) as refused:
        await ask_admission(process.url, new_token(TokenKind.NODE, forged))
    assert refused.value.code == "E_TOKEN_REVOKED"


async def test_who_was_revoked_while_away_stops_knocking(tmp_path: Path, authority: Authority) -> None:
    process = listening(tmp_path, authority, [HOST])
    states: list[ConnectionState] = []
    closed = asyncio.Event()

    def on_state(state: ConnectionState) -> None:
        states.append(state)
        if state is ConnectionState.CLOSED:
            closed.set()

    alice = authority.mint_user("alice", Role.USER)
    child = server.start(process)
    try:
        await server.wait_ready(process)
        bus = await NatsBus.connect(process.url, alice, name="a", on_state=on_state)
        await asyncio.to_thread(server.stop, child)
        authority.revoke(alice.public_key)
        child = server.start(listening_again(process, authority))
        async with asyncio.timeout(20):
            await closed.wait()
        assert states == [ConnectionState.DISCONNECTED, ConnectionState.CLOSED]
        with pytest.raises(Refused) as refused:
            await bus.publish("corral.u.alice.job.list", b"")
        assert refused.value.code == "E_TOKEN_REVOKED"
    finally:
        await asyncio.to_thread(server.stop, child)


def listening_again(process: server.NatsProcess, authority: Authority) -> server.NatsProcess:
    return server.prepare(process.folder, port=process.port, authority=authority, listen=process.listen)


async def test_an_expired_credential_is_told_so_without_asking(authority: Authority) -> None:
    late = authority.mint_user("alice", Role.USER, expires_in_s=-1)
    with pytest.raises(Refused) as refused:
        await NatsBus.connect("tls://192.0.2.1:4222", late, name="a")
    assert refused.value.code == "E_TOKEN_EXPIRED"


async def test_a_renewed_certificate_needs_no_new_trust(tmp_path: Path, authority: Authority) -> None:
    """Those connected stay so; who comes later sees the new one."""
    process = listening(tmp_path, authority, [HOST])
    async with server.running(process) as child:
        alice = authority.mint_user("alice", Role.USER)
        bus = await NatsBus.connect(process.url, alice, name="a")
        before = await certificate_shown(process)
        renewed = authority.tls.issue([HOST], now=datetime.now(UTC))
        again = type(process)(
            argv=process.argv, port=process.port, folder=process.folder, log=process.log,
            listen=server.Listen(host=HOST, certificate=renewed),
        )  # fmt: skip
        server.reload(again, authority=authority, pid=child.pid)
        async with asyncio.timeout(10):
            while await certificate_shown(process) == before:
                await asyncio.sleep(0.02)  # nothing tells us but asking
        await bus.flush()
        await bus.close()
        later = await NatsBus.connect(process.url, alice, name="a")
        await later.close()


async def certificate_shown(process: server.NatsProcess) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(HOST, process.port, ssl=context)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return shown
