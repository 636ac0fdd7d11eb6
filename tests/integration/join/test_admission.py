"""Tokens on a real database: each serves once, for one key, and what it admitted can be put out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from bus import requests
from bus.api import Admitted
from bus.auth import Authority, UserKey, new_user_key
from bus.credentials import credentials_text, parse_credentials
from bus.errors import ApiError
from bus.people import Standing
from bus.subjects import AuthVerb, Peer
from bus.tokens import JoinToken, digest, parse_token
from bus.transport import Bus
from bus.values import NodeHealth, Role, UserName
from coordinator.api.tokens import Tokens
from coordinator.clock import Clock
from coordinator.core.model import Cluster
from coordinator.joining import Admissions, Bucket
from coordinator.store.rows import UserRow
from coordinator.store.tokens import Tokens as TokenStore


class Door:
    """The handlers and the admissions, over one database and one authority."""

    def __init__(self, store: TokenStore, authority: Authority, admin: UserRow) -> None:
        self.store = store
        self.authority = authority
        self.admin = admin
        self.tokens = Tokens(
            store,
            authority,
            cluster="test",
            version="1",
            standing=lambda name: Standing(),
            clock=Clock(),
        )
        self.nodes: dict[str, Any] = {}
        cluster = cast(Cluster, SimpleNamespace(nodes=self.nodes))
        self.admissions = Admissions(cast(Bus, None), store, authority, cluster)

    async def make(self, kind: str, **fields: Any) -> JoinToken:
        told = await self.tokens.create(self.admin, requests.TokenCreate(kind=cast(Any, kind), **fields))
        return parse_token(told.secret)

    async def admit(self, token: JoinToken, key: UserKey | None = None, **fields: Any) -> Admitted:
        asked = requests.Admission(
            token=token.id, secret=token.secret, key=(key or new_user_key()).public, host="host", **fields
        )
        verb = AuthVerb.JOIN if token.kind == "node" else AuthVerb.LOGIN
        return await self.admissions.admit(verb, asked)

    async def refused(self, token: JoinToken, key: UserKey | None = None, **fields: Any) -> str:
        with pytest.raises(ApiError) as error:
            await self.admit(token, key, **fields)
        return error.value.error.code


@pytest.fixture
async def door(coordinator_dsn: str, tmp_path: Path) -> AsyncIterator[Door]:
    store = TokenStore(coordinator_dsn)
    admin = await store.ensure_user("adam", Role.ADMIN)
    yield Door(store, Authority.create_or_load(tmp_path / "keys"), admin)
    await store.close()


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.execute("delete from corral.user_tokens")
    await connection.close()


async def test_a_token_serves_one_key_however_often_it_asks(door: Door, database: asyncpg.Connection) -> None:
    token, key = await door.make("node"), new_user_key()
    first = await door.admit(token, key, name="n1")
    assert (first.name, first.role) == ("n1", None)
    assert await door.admit(token, key, name="n1")
    assert await door.refused(token, name="n1") == "E_TOKEN_REVOKED"
    credentials = parse_credentials(credentials_text(first.jwt, key.seed))
    assert (credentials.name, credentials.peer, credentials.public_key) == ("n1", Peer.NODE, key.public)


async def test_of_many_at_once_one_gets_in(door: Door, database: asyncpg.Connection) -> None:
    token = await door.make("node")
    answers = await asyncio.gather(
        *(door.admit(token, name=f"n{index}") for index in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, Admitted) for answer in answers) == 1
    assert {answer.error.code for answer in answers if isinstance(answer, ApiError)} == {"E_TOKEN_REVOKED"}


async def test_the_database_holds_a_hash_and_nothing_else(door: Door, database: asyncpg.Connection) -> None:
    token = await door.make("user", name="ann")
    row = await database.fetchrow("select * from corral.user_tokens where public_id = $1", token.id)
    assert row is not None
    assert bytes(row["token_sha256"]) == digest(token.secret)
    assert token.text not in repr(row)
    listed = (await door.tokens.list(door.admin, requests.Empty())).tokens
    assert [one.secret for one in listed if one.id == token.id] == [""]


async def test_expired_revoked_and_forged_tokens_are_told_apart(
    door: Door, database: asyncpg.Connection
) -> None:
    late, gone = await door.make("node", ttl_s=60.0), await door.make("node")
    await database.execute(
        "update corral.user_tokens set expires_at = now() - interval '1 s' where public_id = $1", late.id
    )
    await door.tokens.revoke(door.admin, requests.TokenQuery(token=gone.id))
    assert await door.refused(late, name="n1") == "E_TOKEN_EXPIRED"
    assert await door.refused(gone, name="n1") == "E_TOKEN_REVOKED"
    forged = JoinToken(late.kind, late.id, b"x" * 32, late.anchor)
    assert await door.refused(forged, name="n1") == "E_TOKEN_REVOKED"


async def test_a_login_makes_a_user_once_and_changes_no_role(
    door: Door, database: asyncpg.Connection
) -> None:
    admitted = await door.admit(await door.make("user", name="sue", role=Role.OPERATOR))
    assert (admitted.name, admitted.role) == ("sue", Role.OPERATOR)
    again = await door.admit(await door.make("user", name="sue", role=Role.ADMIN))
    assert again.role is Role.OPERATOR
    await database.execute("update corral.users set status = 'suspended' where username = 'sue'")
    assert await door.refused(await door.make("user", name="sue")) == "E_SUSPENDED"


async def test_a_name_belongs_to_one_machine(door: Door, database: asyncpg.Connection) -> None:
    """B85, at the door: neither a live node's name nor a lost one's goes to whoever asks first."""
    old = new_user_key()
    await door.admit(await door.make("node"), old, name="n1")
    assert await door.refused(await door.make("node"), name="n1") == "E_NODE_KEY"
    door.nodes["n1"] = SimpleNamespace(health=NodeHealth.HEALTHY)
    meant = await door.make("node", name="n1")
    assert await door.refused(meant) == "E_CONFLICT"
    assert await door.refused(meant, name="n2") == "E_NODE_KEY"
    door.nodes["n1"] = SimpleNamespace(health=NodeHealth.UNREACHABLE)
    assert await door.refused(await door.make("node"), name="n1") == "E_NODE_KEY"
    assert (await door.admit(meant)).name == "n1"
    assert old.public in door.authority.revoked()


async def test_revoking_a_used_token_puts_its_key_out(door: Door, database: asyncpg.Connection) -> None:
    token, key = await door.make("user", name="ann"), new_user_key()
    await door.admit(token, key)
    ann = UserRow(door.admin.id, UserName("ann"), Role.USER, True)
    assert (await door.tokens.renew(ann, requests.KeyQuery(key=key.public))).name == "ann"
    await door.tokens.revoke(door.admin, requests.TokenQuery(token=token.id))
    assert key.public in door.authority.revoked()
    assert await door.refused(token, key) == "E_TOKEN_REVOKED"
    with pytest.raises(ApiError, match="E_NOT_FOUND"):
        await door.tokens.renew(ann, requests.KeyQuery(key=key.public))


async def test_nobody_logs_another_out(door: Door, database: asyncpg.Connection) -> None:
    key = new_user_key()
    await door.admit(await door.make("user", name="ann"), key)
    bob = UserRow(door.admin.id, UserName("bob"), Role.USER, True)
    for handler in (door.tokens.logout, door.tokens.renew):
        with pytest.raises(ApiError, match="E_NOT_FOUND"):
            await handler(bob, requests.KeyQuery(key=key.public))
    ann = UserRow(door.admin.id, UserName("ann"), Role.USER, True)
    await door.tokens.logout(ann, requests.KeyQuery(key=key.public))
    assert key.public in door.authority.revoked()


async def test_a_revocation_that_was_not_told_is_told_at_the_next_start(
    door: Door, database: asyncpg.Connection
) -> None:
    token, key = await door.make("node"), new_user_key()
    await door.admit(token, key, name="n1")
    await door.store.revoke(token.id, by=door.admin.name)
    assert key.public not in door.authority.revoked()
    await door.tokens.start()
    assert key.public in door.authority.revoked()


async def test_the_audit_says_who_let_whom_in(door: Door, database: asyncpg.Connection) -> None:
    key = new_user_key()
    token = await door.make("user", name="eve")
    await door.admit(token, key)
    await door.admit(token, key)  # the answer was lost: nothing new happened
    for _ in range(2):
        await door.tokens.revoke(door.admin, requests.TokenQuery(token=token.id))
    rows = await database.fetch(
        "select actor, action from corral.audit where object = $1 order by id", token.id
    )
    admin = door.admin.name
    assert [tuple(row) for row in rows] == [
        (admin, "token.create"),
        ("eve", "auth.login"),
        (admin, "token.revoke"),
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "node", "ttl_s": 59.0}, "E_RANGE"),
        ({"kind": "node", "ttl_s": 31 * 86_400.0}, "E_RANGE"),
        ({"kind": "node", "name": "N 1"}, "E_NAME"),
        ({"kind": "user"}, "E_REQUIRED"),
    ],
)
async def test_tokens_that_make_no_sense_are_not_made(door: Door, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ApiError) as refused:
        await door.make(**fields)
    assert refused.value.error.code == code


async def test_a_key_that_is_none_is_refused(door: Door) -> None:
    token = await door.make("node")
    assert await door.refused(token, UserKey("U" + "A" * 55, ""), name="n1") == "E_KEY"
    assert await door.refused(token, name="N 1") == "E_NAME"


def test_strangers_are_answered_so_often_and_no_more() -> None:
    now = 0.0
    bucket = Bucket(rate_per_s=2.0, burst=3, clock=lambda: now)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 1000.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
