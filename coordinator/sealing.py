"""What the database keeps for us and must not be able to read: sealed by AES-256-GCM under a key of ours."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.errors import CredentialsError
from bus.layout import read_secret, write_secret

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Unsealable(Exception):
    """Sealed under another key, for another purpose, or damaged; or there is no key. The text says which."""


class Sealer:
    """`path` of the key, made at the first `seal`; None: this coordinator has no folder for keys."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def seal(self, plain: bytes, *, purpose: str) -> bytes:
        """`purpose` is bound to it: a row's seal does not fit another row. Raises Unsealable."""
        if self._path is not None and not self._path.exists():
            write_secret(self._path, secrets.token_hex(_KEY_BYTES) + "\n")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, plain, purpose.encode())

    def unseal(self, sealed: bytes, *, purpose: str) -> bytes:
        """What was sealed for the same purpose. Raises Unsealable."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher().decrypt(nonce, rest, purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise Unsealable("sealed under another key than this coordinator's") from error

    def _cipher(self) -> AESGCM:
        if self._path is None:
            raise Unsealable("this coordinator has no folder for keys")
        try:
            return AESGCM(bytes.fromhex(read_secret(self._path).strip()))
        except CredentialsError as error:
            raise Unsealable(str(error)) from error
        except ValueError as error:
            raise Unsealable(f"{self._path} holds no key") from error
