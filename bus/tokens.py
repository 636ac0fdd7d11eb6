"""Join tokens: what a new machine or person is given, once, to become part of a cluster.

`crl_<kind>_<id>_<payload>_<crc32>`: the checksum tells a token that was cut or mistyped from one that was
refused, without asking anybody. The payload holds the secret, and all that is needed to reach the right
cluster and no other: the key and signature of its certificate authority (`bus.tls.Root`), and the key of its
account with the signature under the public credential (`bus.auth.public_credentials`). The cluster keeps only
a SHA-256 of the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import zlib
from enum import StrEnum

from msgspec import Struct

from bus.errors import CredentialsError

SECRET_BYTES = 32
ID_PATTERN = re.compile(r"[a-z2-7]{8}")
_FORMAT = 1
_SIZES = (1, SECRET_BYTES, 32, 64, 32, 64)
_TOKEN = re.compile(r"(crl_(node|user)_([a-z2-7]{8})_([A-Za-z0-9_-]{300}))_([0-9a-f]{8})")


class TokenKind(StrEnum):
    """What the bearer becomes."""

    NODE = "node"
    USER = "user"


class Anchor(Struct, frozen=True):
    """What a stranger must know to reach this cluster and no other; no secret."""

    root_key: bytes
    root_signature: bytes
    account: bytes
    public_signature: bytes


class JoinToken(Struct, frozen=True):
    """A whole token, as its text says it."""

    kind: TokenKind
    id: str
    secret: bytes
    anchor: Anchor

    def __repr__(self) -> str:
        return f"JoinToken({self.kind}, {self.id})"

    @property
    def text(self) -> str:
        """What is shown, once."""
        anchor = self.anchor
        parts = (
            bytes([_FORMAT]),
            self.secret,
            anchor.root_key,
            anchor.root_signature,
            anchor.account,
            anchor.public_signature,
        )
        payload = base64.urlsafe_b64encode(b"".join(parts)).decode()
        head = f"crl_{self.kind}_{self.id}_{payload}"
        return f"{head}_{zlib.crc32(head.encode()):08x}"


def new_token(kind: TokenKind, anchor: Anchor) -> JoinToken:
    """A token with a secret of its own."""
    ident = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    return JoinToken(kind, ident, secrets.token_bytes(SECRET_BYTES), anchor)


def parse_token(text: str) -> JoinToken:
    """Raises CredentialsError (E_TOKEN_FORMAT), which never repeats the token."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise CredentialsError(
            "E_TOKEN_FORMAT",
            f"not a token: got {len(text)} characters; expected crl_node_… or crl_user_…, one word",
            "copy the whole line that `corral token` printed",
        )
    head, kind, ident, payload, checksum = match.groups()
    if int(checksum, 16) != zlib.crc32(head.encode()):
        raise CredentialsError(
            "E_TOKEN_FORMAT",
            "the token's checksum is wrong: some character was lost or changed",
            "copy the whole line that `corral token` printed",
        )
    try:
        packed = base64.b64decode(payload, altchars=b"-_", validate=True)
    except binascii.Error:
        raise CredentialsError("E_TOKEN_FORMAT", "the token's payload is not base64url") from None
    if packed[0] != _FORMAT:
        raise CredentialsError(
            "E_TOKEN_FORMAT", f"the token is of format {packed[0]}; this version reads {_FORMAT}"
        )
    parts, at = [], 0
    for size in _SIZES:
        parts.append(packed[at : at + size])
        at += size
    return JoinToken(TokenKind(kind), ident, parts[1], Anchor(*parts[2:]))


def digest(secret: bytes) -> bytes:
    """What the cluster keeps of a secret: 256 random bits need no slow hash."""
    return hashlib.sha256(secret).digest()
