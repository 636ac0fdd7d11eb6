"""What is sealed can be read with the key and for its purpose alone, and the key is nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.sealing import Sealer, Unsealable


def test_what_is_sealed_comes_back_and_never_looks_the_same(tmp_path: Path) -> None:
    sealer = Sealer(tmp_path / "keys" / "seal.key")
    one, two = (sealer.seal(b"secret", purpose="p") for _ in range(2))
    assert one != two and b"secret" not in one
    assert sealer.unseal(one, purpose="p") == sealer.unseal(two, purpose="p") == b"secret"
    # another coordinator of the same data folder
    assert Sealer(tmp_path / "keys" / "seal.key").unseal(one, purpose="p") == b"secret"


def test_the_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    sealed = Sealer(path).seal(b"secret", purpose="p")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(Unsealable, match="can be read by others"):
        Sealer(path).unseal(sealed, purpose="p")


def test_another_purpose_another_key_and_damage_are_noticed(tmp_path: Path) -> None:
    sealer = Sealer(tmp_path / "a.key")
    sealed = sealer.seal(b"secret", purpose="p")
    other = Sealer(tmp_path / "b.key")
    other.seal(b"", purpose="p")
    for attempt in (
        lambda: sealer.unseal(sealed, purpose="q"),
        lambda: sealer.unseal(sealed[:-1], purpose="p"),
        lambda: sealer.unseal(b"", purpose="p"),
        lambda: other.unseal(sealed, purpose="p"),
    ):
        with pytest.raises(Unsealable, match="under another key"):
            attempt()


def test_where_there_is_no_key_nothing_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(Unsealable, match="no folder for keys"):
        Sealer(None).seal(b"x", purpose="p")
    with pytest.raises(Unsealable, match="cannot read"):
        Sealer(tmp_path / "none.key").unseal(b"x" * 40, purpose="p")
    (tmp_path / "bad.key").write_text("not hexadecimal\n")
    (tmp_path / "bad.key").chmod(0o600)
    with pytest.raises(Unsealable, match="holds no key"):
        Sealer(tmp_path / "bad.key").seal(b"x", purpose="p")
