"""A credential: a `.creds` file as every NATS client reads it.

A JWT with the permissions of its role, and the seed of its own key; behind them the certificate of the
authority by which the server must prove its name: who holds a credential also knows whom to show it to.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from msgspec import Struct, structs

from bus.errors import CredentialsError
from bus.subjects import Peer, inbox_prefix
from bus.values import Role, is_name

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


class Credentials(Struct, frozen=True):
    """A name, its kind and role, and the text of its `.creds` file (secret: never logged)."""

    name: str
    peer: Peer
    role: Role | None
    text: str

    @property
    def inbox_prefix(self) -> str:
        return inbox_prefix(self.peer, self.name)

    @property
    def jwt(self) -> str:
        return _section(self.text, "NATS USER JWT")

    @property
    def public_key(self) -> str:
        """By which it can be revoked; no secret."""
        return str(_claims(self.jwt)["sub"])

    @property
    def seed(self) -> bytes:
        """Empty for the public credential, which proves nothing."""
        return b"" if self.peer is Peer.PUBLIC else _section(self.text, "USER NKEY SEED").encode()

    @property
    def expires_at(self) -> float | None:
        """When the server stops taking it (seconds of the Unix epoch); None: never."""
        until = _claims(self.jwt).get("exp")
        return None if until is None else float(until)

    @property
    def issued_at(self) -> int:
        """Seconds of the Unix epoch; a revocation means all that was issued before it."""
        return int(_claims(self.jwt)["iat"])

    @property
    def rights(self) -> dict[str, Any]:
        """What it claims to be allowed, as the JWT has it."""
        rights: dict[str, Any] = _claims(self.jwt)["nats"]
        return rights

    @property
    def ca(self) -> str:
        """The certificate (PEM) by which the server proves itself; "" where none was given."""
        _, begin, rest = self.text.partition(_CERTIFICATE)
        return begin + rest

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, {self.peer}, {self.role})"


def parse_credentials(text: str) -> Credentials:
    """Read a `.creds` file's text. The claims are not verified: the server does that.

    Raises CredentialsError (E_TOKEN_FORMAT).
    """
    try:
        claims = _claims(_section(text, "NATS USER JWT"))
        _section(text, "USER NKEY SEED")
        tags = dict(tag.split(":", 1) for tag in claims["nats"].get("tags", []))
        role = Role(tags["role"]) if "role" in tags else None
        name = str(claims["name"])
        peer = Peer(tags.get("peer", Peer.USER))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise CredentialsError(
            "E_TOKEN_FORMAT", "not a NATS credentials file made by Corral", "ask an admin for a new one"
        ) from None
    if not is_name(name):
        raise CredentialsError("E_TOKEN_FORMAT", f"not a name: {name[:80]!r}")
    return Credentials(name, peer, role, text)


def credentials_text(jwt: str, seed: str, ca: str = "") -> str:
    """A `.creds` file, with the authority's certificate behind it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        + (f"\n{ca}" if ca else "")
    )


def with_ca(credentials: Credentials, ca: str) -> Credentials:
    """The same, trusting the authority of the certificate `ca` (PEM) and no other; "": the system's."""
    bare, _, _ = credentials.text.partition(_CERTIFICATE)
    return structs.replace(credentials, text=f"{bare.rstrip()}\n" + (f"\n{ca}" if ca else ""))


def _section(text: str, title: str) -> str:
    lines = text.splitlines()
    begin = lines.index(f"-----BEGIN {title}-----")
    return lines[begin + 1].strip()


def _claims(jwt: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(unbase64url(jwt.split(".")[1].encode()))
    return claims


def unbase64url(text: bytes) -> bytes:
    """A part of a JWT. Raises ValueError."""
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
