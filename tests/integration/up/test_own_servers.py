"""`corral up` on servers that somebody else runs, each alone and both: used, kept, and left running."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec import Struct

from bus.layout import Layout, write_secret
from bus.server import free_port
from tests.certificates import Issuer
from tests.fixtures_postgres import TestServer, database
from tests.integration.up.conftest import Corral
from tests.own_servers import DEBIAN, execute, nats, postgres

pytestmark = pytest.mark.contract("S2.1")
PASSWORD = "geheim-1"
WAIT_S = 30.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that servers under accounts of their own can pass through."""
    with tempfile.TemporaryDirectory(prefix="corral-own-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def corral(place: Path) -> Iterator[Corral]:
    command = Corral(place / "corral")
    try:
        yield command
    finally:
        command("down")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def included(corral: Corral, place: Path) -> str:
    """What Corral wrote for the server, with a folder that this server may write."""
    text = (corral.data / "nats-include" / "corral.conf").read_text()
    changed = text.replace("/var/lib/nats/corral-accounts", str(place / "accounts"))
    assert changed != text
    path = place / "corral-include.conf"
    path.write_text(changed)
    return f"include '{path.name}'"


def test_a_nats_server_is_refused_until_it_includes_our_part(corral: Corral, place: Path) -> None:
    folder, port = place / "nats", free_port()
    with nats(folder, port) as url:
        done = corral("up", "--detach", "--nats", url)
        assert done.returncode == 78
        hint = f'include "{corral.data}/nats-include/corral.conf"'
        assert "does not trust" in done.stderr.decode() and hint in done.stderr.decode()
        assert not (corral.data / "supervisor.json").exists()
    include = included(corral, folder)
    with nats(folder, port, include) as url:
        corral.ok("up", "--detach", "--nats", url)
        assert set(corral.processes()) & {"nats", "postgresql"} == {"postgresql"}
        assert corral.ok("run", "--", "echo", "over your bus") == "over your bus\n"
        corral.ok("down")
        assert answers(port)


def test_a_database_is_migrated_and_keeps_the_jobs(corral: Corral, place: Path) -> None:
    cluster = postgres(place / "postgres")
    with cluster.running():
        dsn = cluster.make_database("jobs", owner="ann", password=PASSWORD)
        corral.environment["CORRAL_DATABASE_DSN"] = dsn
        corral.ok("up", "--detach")
        assert set(corral.processes()) & {"nats", "postgresql"} == {"nats"}
        assert corral.ok("run", "--", "echo", "kept") == "kept\n"
        corral.ok("down")
        assert answers(cluster.process.port)
        refused = Corral(corral.data)("up", "--detach")  # nobody leaves the state behind by accident
        assert refused.returncode == 78
        assert "the state of this cluster is in the database localhost" in refused.stderr.decode()
        assert PASSWORD not in refused.stderr.decode()
        corral.ok("up", "--detach")
        assert corral.document("job", "1")["state"] == "completed"


def test_both_with_tls_of_another_authority(corral: Corral, place: Path) -> None:
    """The owner's PostgreSQL with TLS where Debian's is there; the NATS server with TLS everywhere."""
    issuer = Issuer(place / "tls")
    certificate = issuer.issue(["localhost"])
    cluster = postgres(place / "postgres", DEBIAN if DEBIAN.exists() else None)
    folder, port = place / "nats", free_port()
    corral.environment["CORRAL_NATS_CA"] = str(issuer.ca)
    with cluster.running(tls=certificate if DEBIAN.exists() else None):
        dsn = cluster.make_database("jobs", owner="ann", password=PASSWORD)
        if DEBIAN.exists():
            dsn += f"?sslmode=verify-full&ssl_min_protocol_version=TLSv1.3&sslrootcert={issuer.ca}"
        with nats(folder, port, tls=certificate) as url:
            arguments = ("up", "--detach", "--nats", url, "--database", dsn)
            assert corral(*arguments).returncode == 78
        with nats(folder, port, included(corral, folder), tls=certificate):
            corral.ok(*arguments)
            assert not set(corral.processes()) & {"nats", "postgresql"}
            del corral.environment["CORRAL_NATS_CA"]  # the credentials carry it
            assert corral.ok("run", "--", "echo", "over your bus") == "over your bus\n"
            findings = corral.document("doctor")["findings"]
            assert f"the way to {url} is TLSv1.3" in [each["message"] for each in findings]
            assert not [each for each in findings if each["area"] == "database" and "TLS" in each["message"]]
            corral.environment["CORRAL_NATS_CA"] = "system"
            strange = corral("jobs")
            assert strange.returncode == 4 and b"error[E_TLS]" in strange.stderr
            corral.environment["CORRAL_NATS_CA"] = "/nowhere/ca.pem"
            nothing = corral("jobs")
            assert nothing.returncode == 78 and b"cannot use /nowhere/ca.pem" in nothing.stderr
            corral.environment["CORRAL_NATS_CA"] = str(issuer.ca)
            corral.ok("down")
            corral.ok(*arguments)
            assert corral.document("job", "1")["state"] == "completed"
            corral.ok("down")
            assert answers(port) and answers(cluster.process.port)
    if os.geteuid() == 0:  # nothing of the run is left to others
        assert corral.data.joinpath("coordinator.toml").stat().st_mode & 0o077 == 0


class Fault(Struct, frozen=True, kw_only=True):
    """What is set, and what `corral up` says: exit code, error code, words of its line."""

    exit: int
    code: str
    words: str
    nats: str = ""
    database: str = ""
    ca: str = ""


NOBODY = "127.0.0.1:9"
FAULTS = {
    "nats-away": Fault(nats=f"nats://{NOBODY}", exit=69, code="E_UNAVAILABLE", words=NOBODY),
    "database-away": Fault(
        database=f"postgresql://ann:{PASSWORD}@{NOBODY}/jobs", exit=69, code="E_UNAVAILABLE", words=NOBODY
    ),
    "password": Fault(
        database=f"postgresql://corral_nobody:{PASSWORD}@HOST/postgres", exit=4, code="E_AUTH", words="HOST"
    ),
    "database": Fault(database="OWNER/nowhere", exit=78, code="E_CONFIG", words='"nowhere" does not exist'),
    "authority": Fault(
        nats="tls://localhost:9", ca="/nowhere/ca.pem", exit=78, code="E_CONFIG", words="/nowhere/ca.pem"
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_cannot_be_used_is_one_line_before_anything_starts(
    corral: Corral, postgres_server: TestServer, fault: Fault
) -> None:
    """B117."""
    owner = urlsplit(postgres_server.dsn)
    host = owner.netloc.rpartition("@")[2]
    place = fault.database.replace("OWNER", owner._replace(path="", query="").geturl()).replace("HOST", host)
    corral.environment |= {
        "CORRAL_NATS_URL": fault.nats, "CORRAL_DATABASE_DSN": place, "CORRAL_NATS_CA": fault.ca,
    }  # fmt: skip
    done = corral("up", "--detach")
    said = done.stderr.decode()
    assert done.returncode == fault.exit
    assert said.startswith(f"error[{fault.code}]: ")
    assert fault.words.replace("HOST", host) in said.splitlines()[0]
    assert PASSWORD not in said and str(owner.password) not in said and "Traceback" not in said
    assert not (corral.data / "supervisor.json").exists()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "insert into corral.migrations (number, name, sha256) values (999, 'x', 'x')",
            "this version ends at",
        ),
        ("update corral.migrations set sha256 = 'x' where number = 1", "another wording"),
    ],
    ids=["newer", "dirty"],
)
def test_a_schema_of_another_version_is_refused_and_doctor_says_which(
    corral: Corral, postgres_server: TestServer, postgres_template: str, statement: str, words: str
) -> None:
    """B119."""
    name = f"{postgres_server.mark}_{secrets.token_hex(4)}"
    asyncio.run(execute(postgres_server.dsn, f"create database {name} template {postgres_template}"))
    dsn = database(postgres_server.dsn, name)
    asyncio.run(execute(dsn, statement))
    corral.environment["CORRAL_DATABASE_DSN"] = dsn
    done = corral("up", "--detach")
    assert done.returncode == 78
    assert words in done.stderr.decode() and "hint: use the version of Corral" in done.stderr.decode()
    Layout(corral.data).keys.mkdir(parents=True)
    write_secret(
        Layout(corral.data).coordinator, f'nats_url = ""\ncredentials = ""\ndsn = {json.dumps(dsn)}\n'
    )
    found = json.loads(corral("doctor", "-o", "json").stdout)["findings"]
    assert [(each["level"], words in each["message"]) for each in found if each["area"] == "database"] == [
        ("fail", True)
    ]


def test_a_second_machine_with_the_same_keys_stands_by_and_takes_over(corral: Corral, place: Path) -> None:
    """Servers that both reach, and one machine after the other: as docs/servers.md says."""
    cluster = postgres(place / "postgres")
    folder, port = place / "nats", free_port()
    second = Corral(place / "second")
    with cluster.running():
        dsn = cluster.make_database("jobs", owner="ann", password=PASSWORD)
        for machine in (corral, second):
            machine.environment["CORRAL_DATABASE_DSN"] = dsn
        with nats(folder, port) as url:
            assert corral("up", "--detach", "--nats", url).returncode == 78  # writes the include
        with nats(folder, port, included(corral, folder)) as url:
            corral.ok("up", "--detach", "--nats", url)
            shutil.copytree(corral.data / "keys", second.data / "keys")
            try:
                second.ok("up", "--detach", "--nats", url, "--agents", "0")
                until(lambda: corral.processes()["coordinator"]["role"] == "leading, epoch 1")
                assert second.processes()["coordinator"]["role"] == "standing by"
                assert second.ok("run", "--", "echo", "by the first") == "by the first\n"
                processes = corral.processes()
                for name in ("supervisor", "coordinator"):  # the node's agent goes on
                    os.kill(processes[name]["pid"], signal.SIGKILL)
                until(lambda: second.processes()["coordinator"]["role"] == "leading, epoch 2")
                assert second.ok("run", "--", "echo", "by the second") == "by the second\n"
            finally:
                second("down")
