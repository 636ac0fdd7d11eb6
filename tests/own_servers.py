"""Servers as somebody else runs them: a PostgreSQL and a nats-server with settings of their own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from bus import server as nats_server
from sql import server as postgres_server
from tests.certificates import Files

DEBIAN = Path("/usr/lib/postgresql/15/bin")
"""Where Debian puts a PostgreSQL that speaks TLS: the one that Corral brings along does not."""

SUPERUSER = "postgres"


class Cluster(Struct, frozen=True, kw_only=True):
    """A database cluster on disk; `running` serves it."""

    process: postgres_server.PostgresProcess

    def dsn(self, *, user: str = SUPERUSER, password: str = "", host: str = "", database: str = "") -> str:
        """An address there; the superuser's by default."""
        password = password or (self.process.password if user == SUPERUSER else "")
        place = f"{host or self.process.host}:{self.process.port}"
        return f"postgresql://{user}:{password}@{place}/{database or SUPERUSER}"

    @contextmanager
    def running(self, *, tls: Files | None = None, settings: str = "") -> Iterator[None]:
        """Serve it, with TLS where there is a certificate."""
        data = self.process.data
        lines = ["listen_addresses = 'localhost'", "unix_socket_directories = ''", settings]
        if tls is not None:
            for source, name in ((tls.certificate, "server.crt"), (tls.key, "server.key")):
                shutil.copyfile(source, data / name)
                (data / name).chmod(0o600)
                if self.process.account is not None:
                    os.chown(data / name, self.process.account.uid, self.process.account.gid)
            lines.append("ssl = on")
        (data / "postgresql.auto.conf").write_text("\n".join(lines) + "\n")
        child = postgres_server.start(self.process)
        try:
            yield
        finally:
            postgres_server.stop(child)

    def make_database(self, name: str, *, owner: str, password: str) -> str:
        """As docs/servers.md says: no superuser owns it. Returns its owner's address."""
        asyncio.run(
            execute(
                self.dsn(),
                f"create role {owner} login createrole password '{password}'",
                f"create database {name} owner {owner}",
            )
        )
        return self.dsn(user=owner, password=password, database=name)


def postgres(folder: Path, binaries: Path | None = None) -> Cluster:
    """Initialise a cluster in `folder`, which everybody can pass through."""
    account = postgres_server.account(postgres_server.ACCOUNT) if os.geteuid() == 0 else None
    binaries = binaries or postgres_server.binaries_for(account)
    data, password = folder / "data", secrets.token_urlsafe(16)
    data.mkdir(mode=0o700, parents=True)
    file = folder / "password"
    file.write_text(password)
    if account is not None:
        for path in (data, file):
            os.chown(path, account.uid, account.gid)
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    argv = [f"{binaries}/initdb", "-D", str(data), "-U", SUPERUSER, "--pwfile", str(file), "--no-sync"]
    subprocess.run(
        [*argv, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"],
        cwd="/", env=environment, check=True, capture_output=True,
        user=account.uid if account else None, group=account.gid if account else None,
        extra_groups=[] if account else None,
    )  # fmt: skip
    port = postgres_server.free_port()
    return Cluster(
        process=postgres_server.PostgresProcess(
            argv=(f"{binaries}/postgres", "-D", str(data), "-p", str(port)),
            env=environment, cwd=data, data=data, account=account, host="localhost", port=port,
            password=password, coordinator_password="",
        )
    )  # fmt: skip


@contextmanager
def nats(folder: Path, port: int, lines: str = "", *, tls: Files | None = None) -> Iterator[str]:
    """A server with somebody's own configuration: its address, by the name localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    if tls is not None:
        lines += f'\ntls {{ cert_file: "{tls.certificate}", key_file: "{tls.key}" }}'
    path = folder / "nats-server.conf"
    path.write_text(f'port: {port}\nhost: 127.0.0.1\njetstream {{ store_dir: "{folder}/js" }}\n{lines}\n')
    argv = (str(nats_server.find_binary()), "--config", str(path))
    process = nats_server.NatsProcess(argv=argv, port=port, folder=folder, log=folder / "log")
    child = nats_server.start(process)
    try:
        asyncio.run(nats_server.wait_ready(process))
        yield f"{'nats' if tls is None else 'tls'}://localhost:{port}"
    finally:
        nats_server.stop(child)


async def execute(dsn: str, *statements: str) -> None:
    """One after the other, on a connection of their own."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
