"""Who is who on the bus: the cluster's own keys, and the credentials signed with them.

Operator mode of nats-server: an operator key signs the accounts, the account key signs users. Adding
one needs no server restart and works while the coordinator is away.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import nkeys
from msgspec import Struct

from bus import tls
from bus.credentials import Credentials, credentials_text, unbase64url, with_ca
from bus.errors import CredentialsError
from bus.layout import read_secret, write_secret
from bus.permissions import (
    Permissions,
    agent_permissions,
    coordinator_permissions,
    public_permissions,
    user_permissions,
)
from bus.subjects import PUBLIC_NAME, Peer
from bus.tokens import Anchor
from bus.values import Role

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
_PUBLIC_SUBSCRIPTIONS_MAX = 4
SYSTEM_NAME = "system"
SYSTEM_LIFETIME_S = 300.0


class Key(StrEnum):
    OPERATOR = "operator"
    ACCOUNT = "account"
    SYSTEM = "system"


_PREFIX = {
    Key.OPERATOR: nkeys.PREFIX_BYTE_OPERATOR,
    Key.ACCOUNT: nkeys.PREFIX_BYTE_ACCOUNT,
    Key.SYSTEM: nkeys.PREFIX_BYTE_ACCOUNT,
}


class UserKey(Struct, frozen=True):
    """A key pair made where it is used: only `public` leaves the machine."""

    public: str
    seed: str

    def __repr__(self) -> str:
        return f"UserKey({self.public})"


def new_user_key() -> UserKey:
    """For a person or a node that joins."""
    seed = _new_seed(nkeys.PREFIX_BYTE_USER)
    return UserKey(_public_key(nkeys.from_seed(bytearray(seed))), seed.decode())


def user_key(seed: str) -> UserKey:
    """The pair of a seed that was kept. Raises CredentialsError (E_TOKEN_FORMAT)."""
    try:
        return UserKey(_public_key(nkeys.from_seed(bytearray(seed.encode()))), seed)
    except (nkeys.NkeysError, ValueError):
        raise CredentialsError("E_TOKEN_FORMAT", "not the seed of a key") from None


def is_user_key(text: str) -> bool:
    """Whether `text` is the public half of a user's key, its checksum included."""
    try:
        raw = base64.b32decode(text)
    except ValueError:
        return False
    return len(raw) == 35 and raw[0] == nkeys.PREFIX_BYTE_USER and _crc16(raw[:-2]) == raw[-2:]


def public_credentials(anchor: Anchor) -> Credentials:
    """What anyone may hold who was given a token: allowed to ask for admission, and nothing else.

    It is the same for all; the token carries only the signature, the claims are fixed. Raises
    CredentialsError where `anchor` is no cluster's.
    """
    signed = _public_claims(anchor.account)
    jwt = (signed + b"." + _base64url(anchor.public_signature)).decode()
    text = f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
    root = tls.Root(anchor.root_key, anchor.root_signature)
    return with_ca(Credentials(PUBLIC_NAME, Peer.PUBLIC, None, text), root.pem())


class Authority:
    """The cluster's keys: mints and revokes credentials, and signs the claims that the server is given."""

    def __init__(self, seeds: dict[Key, bytes], folder: Path, server_ca: str | None) -> None:
        self._server_ca = server_ca
        self._revocations = folder / "revoked.json"
        self.tls = tls.Authority.create_or_load(folder / "ca.key")
        self._keys = {key: nkeys.from_seed(bytearray(seed)) for key, seed in seeds.items()}

    @classmethod
    def create_or_load(cls, folder: Path, *, server_ca: str | None = None) -> Authority:
        """The keys in `folder`, made at the first call. Files are 0600, the folder 0700.

        `server_ca`: by whom the server's certificate is signed, where that is not the cluster itself
        (PEM; "" for the system's authorities).
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seeds = {key: _create_or_load(folder / f"{key}.nk", _PREFIX[key]) for key in Key}
        return cls(seeds, folder, server_ca)

    @property
    def system_account(self) -> str:
        return self._public(Key.SYSTEM)

    @property
    def ca(self) -> str:
        """What credentials carry: the certificate (PEM) of the authority that signs the server's."""
        return self.tls.root.pem() if self._server_ca is None else self._server_ca

    @property
    def revocations(self) -> Path:
        """The file of what is revoked: where it has changed, the server must be told."""
        return self._revocations

    def anchor(self) -> Anchor:
        """What a token must carry, so that its bearer finds us."""
        account = base64.b32decode(self.account)[1:-2]
        signature = self._keys[Key.ACCOUNT].sign(_public_claims(account))
        return Anchor(self.tls.root.key, self.tls.root.signature, account, bytes(signature))

    def operator_jwt(self) -> str:
        """The same text at every call: a running server refuses to reload where it has changed."""
        claims = {"type": "operator", "version": 2, "system_account": self.system_account}
        return self._sign(Key.OPERATOR, self._public(Key.OPERATOR), "corral", nats=claims, issued_at=0)

    def revoke(self, public_key: str) -> None:
        """Refuse this credential from now on; `bus.server.reload` makes the server close its connections."""
        self.revoke_all({public_key: int(time.time())})

    def revoke_all(self, keys: Mapping[str, int]) -> None:
        """Refuse each key's credentials that were issued up to a second of the Unix epoch."""
        known = self.revoked()
        if any(known.get(key, 0) < until for key, until in keys.items()):
            merged = known | {key: max(until, known.get(key, 0)) for key, until in keys.items()}
            write_secret(self._revocations, json.dumps(merged))

    def revoked(self) -> dict[str, int]:
        """Public keys, and up to when what was issued for them is refused (seconds of the Unix epoch)."""
        if not self._revocations.exists():
            return {}
        known: dict[str, int] = json.loads(read_secret(self._revocations))
        return known

    @property
    def account(self) -> str:
        """The public key of the account that everybody of this cluster is in."""
        return self._public(Key.ACCOUNT)

    def learn(self, account_jwt: bytes) -> None:
        """Take over what an earlier JWT of `account_jwts` revokes; one that we did not sign is ignored."""
        signed, _, signature = account_jwt.strip().rpartition(b".")
        try:
            self._keys[Key.OPERATOR].verify(signed, unbase64url(signature))
            claims = json.loads(unbase64url(signed.partition(b".")[2]))
        except (nkeys.NkeysError, ValueError):
            return  # none, or of another operator: nothing that we ever said
        if claims["sub"] == self.account:
            self.revoke_all(claims["nats"].get("revocations", {}))

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

    def mint_system(self) -> Credentials:
        """For a look into a server's own account, and for telling it of revocations; for minutes only."""
        pair = new_user_key()
        claims = _user_claims(Peer.COORDINATOR, None, Permissions(publish=(">",), subscribe=(">",)))
        jwt = self._sign(Key.SYSTEM, pair.public, SYSTEM_NAME, nats=claims, expires_in_s=SYSTEM_LIFETIME_S)
        return Credentials(SYSTEM_NAME, Peer.COORDINATOR, None, credentials_text(jwt, pair.seed, self.ca))

    def user_jwt(self, name: str, role: Role, *, key: str, expires_in_s: float | None = None) -> str:
        """For the holder of `key`, a person or their program. Raises SubjectError for what is no name."""
        claims = _user_claims(Peer.USER, role, user_permissions(name, role))
        return self._sign(Key.ACCOUNT, key, name, nats=claims, expires_in_s=expires_in_s)

    def agent_jwt(self, node: str, *, key: str) -> str:
        """For the holder of `key`, the agent of one node. Raises SubjectError for what is no name."""
        return self._sign(Key.ACCOUNT, key, node, nats=_user_claims(Peer.NODE, None, agent_permissions(node)))

    def renewed(self, credentials: Credentials) -> Credentials:
        """The same person's or agent's key with the rights of this version; as old as it was, for whoever
        took it back meant every right of it.

        Raises SubjectError for what is no name.
        """
        if credentials.peer is Peer.NODE:
            permissions = agent_permissions(credentials.name)
        elif credentials.role is not None:
            permissions = user_permissions(credentials.name, credentials.role)
        else:
            return credentials  # nobody's own: coordinators get theirs at each start
        claims = _user_claims(credentials.peer, credentials.role, permissions)
        if credentials.rights == claims:
            return credentials
        jwt = self._sign(
            Key.ACCOUNT,
            credentials.public_key,
            credentials.name,
            nats=claims,
            expires_at=credentials.expires_at,
            issued_at=credentials.issued_at,
        )
        text = credentials_text(jwt, credentials.seed.decode(), credentials.ca)
        return Credentials(credentials.name, credentials.peer, credentials.role, text)

    def _mint(
        self,
        name: str,
        peer: Peer,
        role: Role | None,
        permissions: Permissions,
        expires_in_s: float | None,
    ) -> Credentials:
        pair = new_user_key()
        claims = _user_claims(peer, role, permissions)
        jwt = self._sign(Key.ACCOUNT, pair.public, name, nats=claims, expires_in_s=expires_in_s)
        return Credentials(name, peer, role, credentials_text(jwt, pair.seed, self.ca))

    def _sign(
        self,
        issuer: Key,
        subject: str,
        name: str,
        *,
        nats: dict[str, Any],
        expires_in_s: float | None = None,
        expires_at: float | None = None,
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
        elif expires_at is not None:
            claims["exp"] = int(expires_at)
        signed = _encoded(claims)
        return (signed + b"." + _base64url(self._keys[issuer].sign(signed))).decode()

    def _public(self, key: Key) -> str:
        return _public_key(self._keys[key])


def _user_claims(peer: Peer, role: Role | None, permissions: Permissions) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "type": "user",
        "version": 2,
        "subs": -1,
        "data": -1,
        "payload": -1,
        "tags": [f"peer:{peer}", *([f"role:{role}"] if role else [])],
        "pub": {"allow": list(permissions.publish), "deny": list(permissions.publish_deny)},
        "sub": {"allow": list(permissions.subscribe)},
    }
    if permissions.respond:
        claims["resp"] = {"max": 1, "ttl": _ANSWER_WITHIN_S * 10**9}
    return claims


def _public_claims(account: bytes) -> bytes:
    """What the account signs as the public credential: fixed for ever, since tokens carry but the signature.

    It names no key of its own but the account's, as a user: nobody needs to prove anything.
    """
    claims = _user_claims(Peer.PUBLIC, None, public_permissions())
    claims |= {"bearer_token": True, "subs": _PUBLIC_SUBSCRIPTIONS_MAX}
    return _encoded(
        {
            "iat": 0,
            "iss": _encode_key(nkeys.PREFIX_BYTE_ACCOUNT, account),
            "sub": _encode_key(nkeys.PREFIX_BYTE_USER, account),
            "name": PUBLIC_NAME,
            "nats": claims,
        }
    )


def _encoded(claims: dict[str, Any]) -> bytes:
    """A JWT but for its signature."""
    digest = hashlib.sha256(json.dumps(claims).encode()).digest()
    marked = claims | {"jti": base64.b32encode(digest).decode().rstrip("=")}
    head = _base64url(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    return head + b"." + _base64url(json.dumps(marked).encode())


def _encode_key(prefix: int, raw: bytes) -> str:
    return base64.b32encode((body := bytes([prefix]) + raw) + _crc16(body)).decode()


def _crc16(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")


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


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
