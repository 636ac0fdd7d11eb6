"""Who is who on the bus: the cluster's own keys, and the credentials signed with them.

Operator mode of nats-server: an operator key signs the accounts, the account key signs users. Adding
one needs no server restart and works while the coordinator is away. A credential is a `.creds` file as every
NATS client reads it: a JWT with the permissions of its role, and the seed of its own key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import nkeys
from msgspec import Struct

from bus.errors import CredentialsError
from bus.layout import read_secret, write_secret
from bus.permissions import (
    Permissions,
    agent_permissions,
    coordinator_permissions,
    user_permissions,
)
from bus.subjects import Peer, inbox_prefix
from bus.values import Role, is_name

_UNLIMITED = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}
_STORAGE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
_ANSWER_WITHIN_S = 60


class Key(StrEnum):
    OPERATOR = "operator"
    ACCOUNT = "account"
    SYSTEM = "system"


_PREFIX = {
    Key.OPERATOR: nkeys.PREFIX_BYTE_OPERATOR,
    Key.ACCOUNT: nkeys.PREFIX_BYTE_ACCOUNT,
    Key.SYSTEM: nkeys.PREFIX_BYTE_ACCOUNT,
}


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
        return _section(self.text, "USER NKEY SEED").encode()

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


class Authority:
    """The cluster's keys: mints and revokes credentials, and signs the claims that the server is given."""

    def __init__(self, seeds: dict[Key, bytes], revocations: Path) -> None:
        self._revocations = revocations
        self._keys = {key: nkeys.from_seed(bytearray(seed)) for key, seed in seeds.items()}

    @classmethod
    def create_or_load(cls, folder: Path) -> Authority:
        """The keys in `folder`, made at the first call. Files are 0600, the folder 0700."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seeds = {key: _create_or_load(folder / f"{key}.nk", _PREFIX[key]) for key in Key}
        return cls(seeds, folder / "revoked.json")

    @property
    def system_account(self) -> str:
        return self._public(Key.SYSTEM)

    def operator_jwt(self) -> str:
        """The same text at every call: a running server refuses to reload where it has changed."""
        claims = {"type": "operator", "version": 2, "system_account": self.system_account}
        return self._sign(Key.OPERATOR, self._public(Key.OPERATOR), "corral", nats=claims, issued_at=0)

    def revoke(self, public_key: str) -> None:
        """Refuse this credential from now on; `bus.server.reload` makes the server close its connections."""
        write_secret(self._revocations, json.dumps({**self.revoked(), public_key: int(time.time())}))

    def revoked(self) -> dict[str, int]:
        """Public keys, and up to when what was issued for them is refused (seconds of the Unix epoch)."""
        if not self._revocations.exists():
            return {}
        known: dict[str, int] = json.loads(read_secret(self._revocations))
        return known

    def account_jwts(self) -> dict[str, str]:
        """Public key to JWT of both accounts: ours, and the server's own events."""
        ours = {"limits": {**_UNLIMITED, **_STORAGE}, "revocations": self.revoked()}
        return {
            self._public(key): self._sign(
                Key.OPERATOR,
                self._public(key),
                name,
                nats={"type": "account", "version": 2, **claims},
            )
            for key, name, claims in (
                (Key.ACCOUNT, "CORRAL", ours),
                (Key.SYSTEM, "SYS", {"limits": _UNLIMITED}),
            )
        }

    def mint_user(self, name: str, role: Role, *, expires_in_s: float | None = None) -> Credentials:
        """For a person or their program. Raises SubjectError for what is no name."""
        return self._mint(name, Peer.USER, role, user_permissions(name, role), expires_in_s)

    def mint_agent(self, node: str, *, expires_in_s: float | None = None) -> Credentials:
        """For the agent of one node. Raises SubjectError for what is no name."""
        return self._mint(node, Peer.NODE, None, agent_permissions(node), expires_in_s)

    def mint_coordinator(self, name: str = "coordinator") -> Credentials:
        """For one coordinator; a standby needs its own name."""
        return self._mint(name, Peer.COORDINATOR, None, coordinator_permissions(name), None)

    def _mint(
        self,
        name: str,
        peer: Peer,
        role: Role | None,
        permissions: Permissions,
        expires_in_s: float | None,
    ) -> Credentials:
        seed = _new_seed(nkeys.PREFIX_BYTE_USER)
        subject = _public_key(nkeys.from_seed(bytearray(seed)))
        tags = [f"peer:{peer}", *([f"role:{role}"] if role else [])]
        claims: dict[str, Any] = {
            "type": "user",
            "version": 2,
            "subs": -1,
            "data": -1,
            "payload": -1,
            "tags": tags,
            "pub": {"allow": list(permissions.publish), "deny": list(permissions.publish_deny)},
            "sub": {"allow": list(permissions.subscribe)},
        }
        if permissions.respond:
            claims["resp"] = {"max": 1, "ttl": _ANSWER_WITHIN_S * 10**9}
        jwt = self._sign(Key.ACCOUNT, subject, name, nats=claims, expires_in_s=expires_in_s)
        return Credentials(name, peer, role, _creds_text(jwt, seed.decode()))

    def _sign(
        self,
        issuer: Key,
        subject: str,
        name: str,
        *,
        nats: dict[str, Any],
        expires_in_s: float | None = None,
        issued_at: int | None = None,
    ) -> str:
        now = time.time()
        claims: dict[str, Any] = {
            "iat": int(now) if issued_at is None else issued_at,
            "iss": self._public(issuer),
            "sub": subject,
            "name": name,
            "nats": nats,
        }
        if expires_in_s is not None:
            claims["exp"] = int(now + expires_in_s)
        digest = hashlib.sha256(json.dumps(claims).encode()).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        head = _base64url(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        signed = head + b"." + _base64url(json.dumps(claims).encode())
        return (signed + b"." + _base64url(self._keys[issuer].sign(signed))).decode()

    def _public(self, key: Key) -> str:
        return _public_key(self._keys[key])


def _create_or_load(path: Path, prefix: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise CredentialsError(
                "E_TOKEN_MODE", f"{path} is readable by others", f"chmod 600 {path}"
            ) from None
        return path.read_bytes().strip()
    seed = _new_seed(prefix)
    with os.fdopen(descriptor, "wb") as file:
        file.write(seed + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return seed


def _new_seed(prefix: int) -> bytes:
    return bytes(nkeys.encode_seed(os.urandom(32), prefix))


def _public_key(pair: nkeys.KeyPair) -> str:
    return bytes(pair.public_key).decode()


def _creds_text(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _section(text: str, title: str) -> str:
    lines = text.splitlines()
    begin = lines.index(f"-----BEGIN {title}-----")
    return lines[begin + 1].strip()


def _claims(jwt: str) -> dict[str, Any]:
    body = jwt.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
