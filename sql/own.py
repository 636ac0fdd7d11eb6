"""A PostgreSQL that somebody else runs: looked at, migrated, and given a login for the coordinator.

Every failure is one line that names the host, never the password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
from msgspec import Struct

from sql import queries
from sql.errors import DatabaseRefused, Reason, SchemaError
from sql.migrate import OLDEST_SERVER, check_schema, migrate, migrations
from sql.secure import with_tls

CONNECT_TIMEOUT_S = 5.0
SCRAM_ITERATIONS = 4096


class Examined(Struct, frozen=True, kw_only=True):
    """What was seen. `migration` 0: no schema yet; `newest`: the one that this version ends at."""

    host: str
    version: int
    version_text: str
    encrypted: bool
    protocol: str
    timescale: str  # version of the extension; "" where there is none
    license: str
    creates_roles: bool
    superuser: bool
    durable: bool
    migration: int
    newest: int
    now_s: float


class Rights(Struct, frozen=True, kw_only=True):
    """What the coordinator's login may do; all but `coordinates` should be False."""

    superuser: bool
    creates_roles: bool
    creates_databases: bool
    bypasses_rls: bool
    owns_schema: bool
    coordinates: bool


def place_of(dsn: str) -> str:
    """Host, port and database of an address, without user and password."""
    # up to the last @: a password that is not quoted as it should be must not be taken for the host
    place = dsn.partition("://")[2].rpartition("@")[2].partition("?")[0]
    return f"localhost{place}" if place.startswith("/") else place


async def examine(dsn: str) -> Examined:
    """Look without changing anything. Raises DatabaseRefused where this version could not work with it."""
    place = place_of(dsn)
    async with _connected(dsn) as connection:
        row = await connection.fetchrow(queries("own")["place"])
        assert row is not None
        if row["version"] < OLDEST_SERVER:
            raise DatabaseRefused(
                Reason.UNFIT,
                f"{place} is PostgreSQL {row['version_text']}; 15 or newer is needed",
                "upgrade it, or leave --database away: Corral brings PostgreSQL along",
            )
        if row["standby"]:
            raise DatabaseRefused(
                Reason.UNFIT, f"{place} is a standby, which takes no writes", "name its primary"
            )
        try:
            migration = await check_schema(connection) if row["migrated"] else 0
        except SchemaError as error:
            hint = "use the version of Corral that migrated it, or another database"
            raise DatabaseRefused(Reason.UNFIT, f"{place}: {error}", hint) from error
        return Examined(
            host=place,
            version=row["version"],
            version_text=row["version_text"],
            encrypted=row["encrypted"],
            protocol=row["protocol"],
            timescale=row["timescale"],
            license=row["license"],
            creates_roles=row["creates_roles"],
            superuser=row["superuser"],
            durable=row["durable"],
            migration=migration,
            newest=len(migrations()),
            now_s=row["now_s"],
        )


async def rights_of(dsn: str) -> Rights:
    """What the role of `dsn` may do. Raises DatabaseRefused."""
    async with _connected(dsn) as connection:
        row = await connection.fetchrow(queries("own")["role_rights"])
        assert row is not None
        return Rights(
            superuser=row["rolsuper"],
            creates_roles=row["rolcreaterole"],
            creates_databases=row["rolcreatedb"],
            bypasses_rls=row["rolbypassrls"],
            owns_schema=row["owns_schema"],
            coordinates=row["coordinates"],
        )


async def make_ready(dsn: str, *, login: str, password: str) -> str:
    """Migrate, and see that `login` can work as the coordinator: its address. Raises DatabaseRefused.

    The server is given the password as a verifier only, at each call: it may have been lost here before.
    """
    place = place_of(dsn)
    try:
        await examine(dsn)
        await migrate(dsn)
        async with _connected(dsn) as connection:
            sql = queries("own")
            exists = await connection.fetchval(sql["login_exists"], login)
            text = sql["renew_login" if exists else "make_login"]
            await connection.execute(await connection.fetchval(text, login, scram_verifier(password)))
        parts = urlsplit(dsn)
        host = parts.netloc.rpartition("@")[2]
        address = urlunsplit(parts._replace(netloc=f"{quote(login)}:{quote(password, safe='')}@{host}"))
        await rights_of(address)
    except asyncpg.InsufficientPrivilegeError as error:
        hint = "the owner needs CREATE on the database and CREATEROLE; or name database.coordinator_dsn"
        raise DatabaseRefused(Reason.UNFIT, f"{place}: {error}", hint) from None
    except (asyncpg.PostgresError, SchemaError) as error:
        raise DatabaseRefused(Reason.UNFIT, f"{place}: {error}") from error
    return address


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores of an ASCII password (RFC 5803): so it is in no statement and in no log."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection for one-off work. Raises DatabaseRefused where there is none to be had."""
    place, user = place_of(dsn), unquote(urlsplit(dsn).username or "")
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            with_tls(dsn), timeout=CONNECT_TIMEOUT_S
        )
    except ssl.SSLError as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        hint = "sslrootcert= names the authority, and the host must be one that the certificate names"
        message = f"the PostgreSQL at {place} cannot be trusted: {why}"
        raise DatabaseRefused(Reason.UNTRUSTED, message, hint) from None
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError) as error:
        message = f"the PostgreSQL at {place} refuses {user or 'us'}: {error}"
        raise DatabaseRefused(Reason.DENIED, message, "check user and password of database.dsn") from None
    except asyncpg.InvalidCatalogNameError as error:
        hint = f"create database {urlsplit(dsn).path[1:]} owner {user or '…'}"
        raise DatabaseRefused(Reason.UNFIT, f"the PostgreSQL at {place}: {error}", hint) from None
    except ConnectionError as error:
        if "SSL" not in str(error):
            raise _unreachable(error, place) from None
        message = f"the PostgreSQL at {place} cannot be trusted: it offers no TLS"
        hint = "set it up there (ssl = on); or say sslmode=disable, and whoever is on the way may read"
        raise DatabaseRefused(Reason.UNTRUSTED, message, hint) from None
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        raise _unreachable(error, place) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseRefused(Reason.UNFIT, f"the PostgreSQL at {place}: {error}") from None
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


def _unreachable(error: Exception, place: str) -> DatabaseRefused:
    if isinstance(error, TimeoutError):
        why = "no answer in time"
    elif isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        why = os.strerror(error.errno)  # its own text repeats the address in Python's notation
    else:
        why = str(error)
    message = f"no PostgreSQL answers at {place}: {why}"
    return DatabaseRefused(Reason.UNREACHABLE, message, "is it running, and reachable from here?")
