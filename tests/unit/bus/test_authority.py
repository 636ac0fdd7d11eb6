"""What one machine of a cluster learns from the accounts that another one signed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bus.auth import Authority


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
