"""TLS 1.3 with a checked name is the default of every database that is not on this machine."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from sql.secure import DEFAULTS, with_tls


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://corral:secret@127.0.0.1:5432/corral",
        "postgresql://corral@localhost/corral",
        "postgresql://corral@[::1]:5432/corral",
        "postgresql:///corral?host=/run/postgresql",
        "postgresql://corral@%2Frun%2Fpostgresql/corral",
        "postgresql:///corral",
    ],
)
def test_what_stays_on_this_machine_is_left_alone(dsn: str) -> None:
    assert with_tls(dsn) == dsn


@pytest.mark.contract("S2.97")
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://corral:s%40cret@db.example:5432/corral",
        "postgresql://corral@10.0.0.7/corral?application_name=x",
        "postgresql://corral@[2001:db8::7]:5432/corral",
        "postgresql://a:1,db.example:2/corral",
        "postgresql://localhost:1,db.example:2/corral",
        "postgresql:///corral?host=db.example",
    ],
)
def test_elsewhere_the_server_must_prove_its_name_over_tls_1_3(dsn: str) -> None:
    before, after = urlsplit(dsn), urlsplit(with_tls(dsn))
    assert {name: value for name, (value,) in parse_qs(after.query).items()} == DEFAULTS | {
        name: value for name, (value,) in parse_qs(before.query).items()
    }
    assert (after.netloc, after.path) == (before.netloc, before.path)


def test_what_the_address_says_itself_holds() -> None:
    said = "postgresql://db.example/corral?sslmode=verify-ca&sslrootcert=/etc/ca.pem"
    options = parse_qs(urlsplit(with_tls(said)).query)
    assert options["sslmode"] == ["verify-ca"]
    assert options["sslrootcert"] == ["/etc/ca.pem"]
    plain = "postgresql://db.example/corral?sslmode=disable"
    assert with_tls(plain) == plain
