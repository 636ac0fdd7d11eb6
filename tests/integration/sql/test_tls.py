"""A PostgreSQL that proves itself, or does not: each refusal is one line with host and without password."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from coordinator.own_servers import report_check
from sql import own
from sql.errors import DatabaseRefused, Reason
from tests.certificates import Files, Issuer
from tests.not_here import not_here
from tests.own_servers import DEBIAN, Cluster, postgres

PASSWORD = "geheim-2"
STRICT = "sslmode=verify-full&ssl_min_protocol_version=TLSv1.3"


class Place:
    """A database cluster and the authority that signs for its server."""

    def __init__(self, folder: Path) -> None:
        self.issuer = Issuer(folder / "tls")
        self.stranger = Issuer(folder / "strange", "Nobody's authority")
        self.cluster: Cluster = postgres(folder / "postgres", DEBIAN)
        self.good = self.issuer.issue(["localhost", "0.0.0.0"])


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    if not DEBIAN.exists():
        not_here("PostgreSQL with TLS", f"nothing in {DEBIAN}")
    with tempfile.TemporaryDirectory(prefix="corral-tls-") as name:
        Path(name).chmod(0o755)
        place = Place(Path(name))
        with place.cluster.running():
            place.cluster.make_database("jobs", owner="ann", password=PASSWORD)
        yield place


@pytest.fixture
def served(place: Place) -> Iterator[ExitStack]:
    """Closed at the end: the server that a test runs."""
    with ExitStack() as stack:
        yield stack


def address(place: Place, *, host: str = "localhost", ca: Path | None = None, **parts: str) -> str:
    named = {"user": "ann", "password": PASSWORD, "database": "jobs"} | parts
    return place.cluster.dsn(host=host, **named) + f"?{STRICT}&sslrootcert={ca or place.issuer.ca}"


@pytest.mark.contract("S2.97")
async def test_tls_1_3_with_the_right_name_is_taken(place: Place, served: ExitStack) -> None:
    served.enter_context(place.cluster.running(tls=place.good))
    seen = await own.examine(address(place))
    assert (seen.encrypted, seen.protocol) == (True, "TLSv1.3")


@pytest.mark.contract("S2.97")
async def test_a_server_of_tls_1_2_is_refused_without_being_asked_for(
    place: Place, served: ExitStack
) -> None:
    """By what is asked of a server elsewhere: 0.0.0.0 leads here, and is no address of loopback."""
    old = "ssl_max_protocol_version = 'TLSv1.2'"
    served.enter_context(place.cluster.running(tls=place.good, settings=old))
    remote = place.cluster.dsn(user="ann", password=PASSWORD, host="0.0.0.0", database="jobs")
    with pytest.raises(DatabaseRefused) as caught:
        await own.examine(f"{remote}?sslrootcert={place.issuer.ca}")
    assert caught.value.reason is Reason.UNTRUSTED
    seen = await own.examine(f"{remote}?sslrootcert={place.issuer.ca}&ssl_min_protocol_version=TLSv1.2")
    assert seen.protocol == "TLSv1.2"  # so it was the version


@pytest.mark.contract("S2.97")
async def test_a_server_elsewhere_without_tls_is_refused(place: Place, served: ExitStack) -> None:
    served.enter_context(place.cluster.running())
    remote = place.cluster.dsn(user="ann", password=PASSWORD, host="0.0.0.0", database="jobs")
    with pytest.raises(DatabaseRefused, match=r"cannot be trusted: .*TLS") as caught:
        await own.examine(f"{remote}?sslrootcert={place.issuer.ca}")
    assert caught.value.reason is Reason.UNTRUSTED


@pytest.mark.parametrize(
    ("change", "code", "exit_code", "words"),
    [
        ({"host": "127.0.0.1"}, "E_TLS", 4, "IP address mismatch"),
        ({"ca": "stranger"}, "E_TLS", 4, "unable to get local issuer certificate"),
        ({"certificate": "expired"}, "E_TLS", 4, "certificate has expired"),
        ({"password": "geheim-3"}, "E_AUTH", 4, "password authentication failed"),
        ({"database": "nowhere"}, "E_CONFIG", 78, 'database "nowhere" does not exist'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_up_says_what_is_wrong(
    place: Place,
    served: ExitStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    change: dict[str, str],
    code: str,
    exit_code: int,
    words: str,
) -> None:
    """B117, as `corral up` asks before it starts anything."""
    expired = change.pop("certificate", None) is not None
    certificate: Files = place.issuer.issue(["localhost"], expired=True) if expired else place.good
    ca = place.stranger.ca if change.pop("ca", None) else None
    served.enter_context(place.cluster.running(tls=certificate))
    dsn = address(place, ca=ca, **change)
    monkeypatch.setenv("CORRAL_DATABASE_DSN", dsn)
    assert report_check(tmp_path) == exit_code
    said = capfdbinary.readouterr().out.decode()
    error = json.loads(said)
    assert error["code"] == code and words in error["message"] and "\n" not in error["message"]
    assert f"{change.get('host', 'localhost')}:{place.cluster.process.port}" in error["message"]
    assert "geheim" not in said
