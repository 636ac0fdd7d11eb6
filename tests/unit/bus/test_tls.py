"""The cluster's certificates: one authority for ever, a server's certificate that is renewed in time."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus import tls
from bus.errors import CredentialsError

PINNED = (
    "7be10588a8db4649ba85dd26e2157bb0b1858034e89b4c8eb8be8ea08efc63b4"
    "0fad86ca80e1924832e2154167f62828762360864e0c618b11ae72aadf2b9606"
)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_authority_is_kept_and_its_key_is_secret(tmp_path: Path) -> None:
    first = tls.Authority.create_or_load(tmp_path / "ca.key")
    assert tls.Authority.create_or_load(tmp_path / "ca.key").root == first.root
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    (tmp_path / "ca.key").chmod(0o644)
    with pytest.raises(CredentialsError, match="read by others"):
        tls.Authority.create_or_load(tmp_path / "ca.key")


def test_the_certificate_is_made_again_from_key_and_signature(tmp_path: Path) -> None:
    root = tls.Authority.create_or_load(tmp_path / "ca.key").root
    assert tls.Root(root.key, root.signature).pem() == root.pem()
    forged = tls.Root(root.key, bytes(64))
    with pytest.raises(CredentialsError) as refused:
        forged.pem()
    assert refused.value.code == "E_TOKEN_FORMAT"


def test_what_the_authority_signs_never_changes() -> None:
    """A token holds the signature alone: every version must make the same certificate of it."""
    key = tls.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert tls.Authority(key).root.signature.hex() == PINNED


def test_a_server_certificate_is_kept_until_it_ends_soon_or_lacks_a_name(tmp_path: Path) -> None:
    authority = tls.Authority.create_or_load(tmp_path / "ca.key")

    def current(names: list[str], now: datetime) -> tls.ServerCertificate:
        return tls.current_certificate(tmp_path, authority=authority, names=names, now=now)

    first = current(["localhost", "10.0.0.5", "::1"], NOW)
    assert first.names == {"localhost", "10.0.0.5", "::1"}
    assert first.expires_at == NOW + tls.LIFETIME
    assert current(["localhost"], NOW + timedelta(days=59)) == first
    assert (
        current(["localhost"], NOW + timedelta(days=61)).expires_at == NOW + timedelta(days=61) + tls.LIFETIME
    )
    assert current(["node1.example"], NOW).names == {"node1.example"}
    assert first.key not in repr(first)
    (tmp_path / "server.pem").write_text("damaged")
    assert current(["localhost"], NOW).names == {"localhost"}


def test_the_machines_names_are_in_its_certificate() -> None:
    assert {"localhost", "127.0.0.1", "10.9.8.7"} <= set(tls.names_of_machine("10.9.8.7"))
    assert set(tls.addresses_of_machine()) <= set(tls.names_of_machine("0.0.0.0"))
