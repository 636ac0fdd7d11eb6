"""`corral up` on servers that somebody else runs, each alone and both: used, kept, and left running."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.server import free_port
from tests.certificates import Issuer
from tests.integration.up.conftest import Corral
from tests.own_servers import DEBIAN, nats, postgres

pytestmark = pytest.mark.contract("S2.1")
PASSWORD = "geheim-1"


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
            corral.environment["CORRAL_NATS_CA"] = str(issuer.ca)
            corral.ok("down")
            corral.ok(*arguments)
            assert corral.document("job", "1")["state"] == "completed"
            corral.ok("down")
            assert answers(port) and answers(cluster.process.port)
    if os.geteuid() == 0:  # nothing of the run is left to others
        assert corral.data.joinpath("coordinator.toml").stat().st_mode & 0o077 == 0
