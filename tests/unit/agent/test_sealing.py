"""Sealed files give back what was put in, and nothing once a single bit, piece or word of it is another."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.volumes.sealing import PIECE, Sealer, make_key, opened
from bus.errors import ApiError

KEY = bytes(range(32))
HEADER = 38
SEALED_PIECE = PIECE + 16
NOISE = bytes(i * i % 251 for i in range(3 * PIECE + 17))


def sealed(content: bytes, *, key: bytes | None = KEY, compress: bool = False, step: int = 50_000) -> bytes:
    target = io.BytesIO()
    sealer = Sealer(target, key=key, compress=compress, of="volume")
    for start in range(0, len(content), step):
        sealer.write(content[start : start + step])
    sealer.close()
    return target.getvalue()


def unsealed(file: bytes, *, key: bytes | None = KEY, of: str = "volume") -> bytes:
    return b"".join(opened(io.BytesIO(file), key=key, of=of))


def refused(file: bytes, *, key: bytes | None = KEY, of: str = "volume") -> str:
    with pytest.raises(ApiError) as caught:
        unsealed(file, key=key, of=of)
    assert caught.value.error.code == "E_SEALED"
    return caught.value.error.message


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 17])
def test_what_was_sealed_comes_back(key: bytes | None, compress: bool, size: int) -> None:
    file = sealed(NOISE[:size], key=key, compress=compress)
    assert unsealed(file, key=key) == NOISE[:size]


@given(content=st.binary(max_size=300_000), step=st.integers(1, 100_000), compress=st.booleans())
def test_however_it_is_written(content: bytes, step: int, compress: bool) -> None:
    assert unsealed(sealed(content, compress=compress, step=step)) == content


@pytest.mark.contract("S2.67")
@pytest.mark.parametrize("compress", [False, True])
def test_no_plaintext_is_in_an_encrypted_file(compress: bool) -> None:
    secret = b"the quick brown fox jumps over the lazy dog. "
    file = sealed(secret * 5_000, compress=compress)
    assert not any(secret[i : i + 8] in file for i in range(len(secret) - 8))


@pytest.mark.contract("S2.67")
def test_a_compressed_file_is_smaller() -> None:
    text = b"the same line again\n" * 50_000
    assert len(sealed(text, compress=True)) < len(text) // 50


def test_equal_contents_are_not_equal_files() -> None:
    assert sealed(NOISE) != sealed(NOISE)


def test_another_key_opens_nothing() -> None:
    assert "key is another" in refused(sealed(NOISE), key=make_key())
    assert "no key" in refused(sealed(NOISE), key=None)


def test_a_file_of_another_volume_is_not_taken_for_it() -> None:
    assert "not what was sealed" in refused(sealed(NOISE), of="another")


def test_an_unencrypted_file_does_not_stand_in_for_an_encrypted_one() -> None:
    assert "is not encrypted" in refused(sealed(NOISE, key=None))


@given(st.integers(0, 8 * (HEADER + 3 * SEALED_PIECE + 17 + 16) - 1))
def test_a_flipped_bit_is_seen(bit: int) -> None:
    file = bytearray(sealed(NOISE))
    assert len(file) == HEADER + 3 * SEALED_PIECE + 17 + 16
    file[bit // 8] ^= 1 << bit % 8
    refused(bytes(file))


@given(st.integers(0, HEADER + 3 * SEALED_PIECE + 17 + 15))
def test_a_file_that_was_cut_off_is_seen(size: int) -> None:
    refused(sealed(NOISE)[:size])


def test_pieces_that_change_places_are_seen() -> None:
    file = sealed(NOISE)
    first, second = (file[HEADER + k * SEALED_PIECE :][:SEALED_PIECE] for k in (0, 1))
    refused(file[:HEADER] + second + first + file[HEADER + 2 * SEALED_PIECE :])
    refused(file[:HEADER] + first + first + file[HEADER + 2 * SEALED_PIECE :])
    refused(file[:HEADER] + file[HEADER + SEALED_PIECE :])


def test_pieces_of_two_files_do_not_mix() -> None:
    one, two = sealed(NOISE), sealed(NOISE)
    refused(one[: HEADER + SEALED_PIECE] + two[HEADER + SEALED_PIECE :])


def test_what_follows_the_end_is_seen() -> None:
    refused(sealed(NOISE) + b"x")
    refused(sealed(NOISE[: 2 * PIECE]) + b"x")
    assert "follows" in refused(sealed(NOISE, key=None, compress=True) + b"more", key=None)


def test_damaged_compression_is_seen() -> None:
    file = sealed(b"a line\n" * 9_000, key=None, compress=True)
    assert "early" in refused(file[:-3], key=None)
    assert "damaged" in refused(file[:HEADER] + b"zzzz" + file[HEADER + 4 :], key=None)


@pytest.mark.parametrize("file", [b"", b"CRLV", b"CRLV\x02" + bytes(33), b"CRLV\x01\x04" + bytes(32)])
def test_what_is_no_sealed_file_is_refused(file: bytes) -> None:
    assert "not a sealed file" in refused(file)
