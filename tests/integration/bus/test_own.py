"""A NATS server that somebody else runs: refused with a reason, or told of revocations that outlast it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bus import own, server
from bus.auth import Authority
from bus.connection import NatsBus
from bus.trust import Refused
from bus.values import Role

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


@contextmanager
def nats(folder: Path, port: int, lines: str) -> Iterator[str]:
    """A server with somebody's own configuration."""
    path = folder / "nats-server.conf"
    path.write_text(f'port: {port}\nhost: 127.0.0.1\njetstream {{ store_dir: "{folder}/js" }}\n{lines}\n')
    argv = (str(server.find_binary()), "--config", str(path))
    process = server.NatsProcess(argv=argv, port=port, folder=folder, log=folder / "log")
    child: subprocess.Popen[bytes] = server.start(process)
    try:
        asyncio.run(server.wait_ready(process))
        yield process.url
    finally:
        server.stop(child)


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
        async with asyncio.timeout(5):
            while bus.connected:
                await asyncio.sleep(0.01)
        await bus.close()

    async def after(url: str) -> None:
        with pytest.raises(Refused):
            await NatsBus.connect(url, alice, name="test")
        await (await NatsBus.connect(url, bob, name="test")).close()

    with nats(tmp_path, port, text) as url:
        asyncio.run(revoke(url))
    with nats(tmp_path, port, text) as url:  # the include file still says what it said at first
        asyncio.run(after(url))
