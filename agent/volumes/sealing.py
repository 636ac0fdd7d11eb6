"""Sealed files: compressed by Zstandard, encrypted by ChaCha20-Poly1305, or both.

    file  = header, then the content as one run of pieces
    header = "CRLV" 1 flags(1: compressed, 2: encrypted) salt(32)
    key    = HKDF-SHA256(the pool's key, salt, info = "corral volume" ‖ header ‖ what it is of)
    piece  = ChaCha20-Poly1305(key, nonce = number(11 bytes) ‖ last(1 byte), 64 KiB)

That is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and
its Nonce-Reuse Misuse-Resistance, 2015) with a key of its own for each file, as age has it: no nonce is used
twice under one key, and a piece that is moved, left out, changed or cut off is not opened. `of` binds a file
to its volume: that of another is not opened in its place. What is not encrypted is not authenticated either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bus.errors import ApiError
from bus.refusal import refusal

KEY_BYTES = 32
PIECE = 64 * 1024
_TAG = 16
_SALT = 32
_MAGIC = b"CRLV\x01"
_HEADER = len(_MAGIC) + 1 + _SALT
_COMPRESSED, _ENCRYPTED = 1, 2
_LEVEL = 3
_WINDOW_MAX = 8 * 1024 * 1024
"""What a frame may ask for to be unpacked: all that we write at our level asks for less."""


def make_key() -> bytes:
    """A new key of a pool."""
    return os.urandom(KEY_BYTES)


class Target(Protocol):
    """What can be written to."""

    def write(self, data: bytes, /) -> int: ...


class Sealer:
    """Writes content into `target`; `close` ends it, and only then is it whole.

    `key` None: not encrypted. `of`: what it is, which opening it must say again.
    """

    def __init__(self, target: Target, *, key: bytes | None, compress: bool, of: str) -> None:
        flags = (_COMPRESSED if compress else 0) | (_ENCRYPTED if key is not None else 0)
        header = _MAGIC + bytes([flags]) + os.urandom(_SALT)
        self._target = target
        self._cipher = None if key is None else _cipher(key, header, of)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        self._compresses = compress
        self._left = bytearray()
        self._number = 0
        target.write(header)

    def write(self, data: bytes) -> None:
        """More of the content."""
        self._take(self._compressor.compress(data) if self._compresses else data)

    def close(self) -> None:
        """The last piece; the target stays open."""
        if self._compresses:
            self._take(self._compressor.flush())
        if self._cipher is not None:
            self._write_piece(bytes(self._left), last=True)

    def _take(self, data: bytes) -> None:
        if self._cipher is None:
            self._target.write(data)
            return
        self._left += data
        whole = (len(self._left) - 1) // PIECE  # the last piece is never empty unless all is
        for start in range(0, whole * PIECE, PIECE):
            self._write_piece(bytes(self._left[start : start + PIECE]), last=False)
        if whole > 0:
            del self._left[: whole * PIECE]

    def _write_piece(self, piece: bytes, *, last: bool) -> None:
        assert self._cipher is not None
        self._target.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


def opened(source: BinaryIO, *, key: bytes | None, of: str) -> Iterator[bytes]:
    """The content of a sealed file, in pieces. What came before a refusal must not be used.

    Raises ApiError: E_SEALED where it is no such file, the key is another, or anything of it was changed.
    """
    header = source.read(_HEADER)
    flags = header[len(_MAGIC)] if len(header) == _HEADER else 0xFF
    if not header.startswith(_MAGIC) or flags > _COMPRESSED | _ENCRYPTED:
        raise _refused("not a sealed file of ours")
    if flags & _ENCRYPTED and key is None:
        raise _refused("it is encrypted, and this node has no key of its pool")
    if key is not None and not flags & _ENCRYPTED:
        raise _refused("it is not encrypted, and all of its pool are")
    plain = _decrypted(source, _cipher(key, header, of)) if key is not None else _read(source)
    return _decompressed(plain) if flags & _COMPRESSED else plain


def _read(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


def _decrypted(source: BinaryIO, cipher: ChaCha20Poly1305) -> Iterator[bytes]:
    number, piece = 0, source.read(PIECE + _TAG)
    while True:
        following = source.read(PIECE + _TAG) if len(piece) == PIECE + _TAG else b""
        try:
            plain = cipher.decrypt(_nonce(number, last=not following), piece, None)
        except InvalidTag:
            raise _refused(f"piece {number} is not what was sealed, or the key is another") from None
        if plain:
            yield plain
        if not following:
            return
        number, piece = number + 1, following


def _decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).decompressobj()
    for piece in pieces:
        try:
            plain = unpacker.decompress(piece)
        except zstandard.ZstdError as error:
            raise _refused(f"its compression is damaged ({error})") from None
        if plain:
            yield plain
        if unpacker.eof and unpacker.unused_data:
            raise _refused("something follows its end")
    if not unpacker.eof:
        raise _refused("it ends early")


def _cipher(key: bytes, header: bytes, of: str) -> ChaCha20Poly1305:
    assert len(key) == KEY_BYTES
    info = b"corral volume" + header + of.encode()
    return ChaCha20Poly1305(HKDF(SHA256(), KEY_BYTES, salt=header[-_SALT:], info=info).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _refused(why: str) -> ApiError:
    return ApiError(refusal("E_SEALED", why))
