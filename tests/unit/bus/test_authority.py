"""What one machine of a cluster learns from the accounts that another one signed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bus import auth
from bus.auth import Authority
from bus.credentials import Credentials, parse_credentials
from bus.values import Role


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create_or_load(tmp_path / "keys")


@pytest.fixture
def copy(authority: Authority, tmp_path: Path) -> Authority:
    shutil.copytree(tmp_path / "keys", tmp_path / "copy")
    return Authority.create_or_load(tmp_path / "copy")


def account_of(authority: Authority) -> bytes:
    return authority.account_jwts()[authority.account].encode()


def test_the_latest_revocation_of_each_key_counts(authority: Authority, copy: Authority) -> None:
    authority.revoke_all({"UA": 5, "UB": 9})
    copy.revoke_all({"UB": 7, "UC": 3})
    copy.learn(account_of(authority))
    assert copy.revoked() == {"UA": 5, "UB": 9, "UC": 3}


def test_what_it_did_not_sign_is_ignored(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority.create_or_load(tmp_path / "stranger")
    stranger.revoke_all({"UA": 5})
    whole = account_of(authority)
    for jwt in (
        account_of(stranger),
        authority.account_jwts()[authority.system_account].encode(),
        whole[:-8] + b"AAAAAAAA",
        whole[:40],
        b"a.b.c",
        b"\xff.\xff.\xff",
        b"",
    ):
        authority.learn(jwt)
    assert authority.revoked() == {}


@pytest.mark.parametrize("of", ["agent", "user"])
def test_kept_credentials_get_the_rights_of_today_and_nothing_else(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    def mint() -> Credentials:
        if of == "agent":
            return authority.mint_agent("n1", expires_in_s=1000)
        return authority.mint_user("alice", Role.USER, expires_in_s=1000)

    with monkeypatch.context() as earlier:
        earlier.setattr(auth, f"{of}_permissions", lambda *_: auth.public_permissions())
        earlier.setattr(auth.time, "time", lambda: 1_700_000_000.7)
        kept = parse_credentials(mint().text)
    renewed = parse_credentials(authority.renewed(kept).text)
    assert renewed.rights == mint().rights != kept.rights
    assert (renewed.name, renewed.peer, renewed.role) == (kept.name, kept.peer, kept.role)
    assert (renewed.public_key, renewed.seed) == (kept.public_key, kept.seed), "whoever it was taken from"
    assert (renewed.issued_at, renewed.expires_at) == (1_700_000_000, 1_700_001_000.0), "stays without"
    assert authority.renewed(renewed) is renewed


def test_what_is_nobodys_own_is_not_renewed(authority: Authority) -> None:
    coordinators = authority.mint_coordinator()
    assert authority.renewed(coordinators) is coordinators
