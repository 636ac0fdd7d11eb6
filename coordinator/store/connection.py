"""One connection to PostgreSQL that comes back after a fault, and the one place that sorts those faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.connection import Connection
from asyncpg.protocol import Record

from coordinator.store.errors import Disagreement, StoreError, StoreUnavailable
from sql.secure import with_tls

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 30.0

SESSION = {"application_name": "corral", "search_path": "corral", "timezone": "UTC"}

WRITER_SESSION = SESSION | {
    # The statements of a commit take arrays of keys: one plan, index lookups, for one key as for a thousand.
    # Planning each time costs more than most of them, and a plan made while a table was still empty reads
    # the whole of it for ever after (measured: 85 ms instead of 1 ms for 200 attempts).
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A leader that was stopped in the middle must not hold up whoever takes over and may not end its session.
    "idle_in_transaction_session_timeout": "5s",
}

LIST_SESSION = SESSION | {
    # Each list asks for something else, and one plan for any filter fits none (measured: 15 ms instead of 1
    # to count a user's 1,000 jobs among 100,000).
    "plan_cache_mode": "force_custom_plan",
}

CUT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said farewell and has not hung up yet: "amid an answer"
    asyncpg.OperatorInterventionError,  # shutting down, crash shutdown, terminated
    asyncpg.IdleInTransactionSessionTimeoutError,  # we were stopped amid a transaction, and it was undone
)
"""The connection ended before the answer."""

LOST = (
    *CUT,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory: the world's fault, and it may pass
    asyncpg.PostgresSystemError,  # a disk that fails: likewise
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the primary is elsewhere for now
)
"""The database is away for now."""

RETRYABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""The same transaction may well succeed at once."""


class Session:
    """One lazily opened connection. Not for two tasks at once: `use` queues them."""

    def __init__(self, dsn: str, *, settings: Mapping[str, str] = SESSION) -> None:
        self._dsn = with_tls(dsn)
        self._settings = dict(settings)
        self._connection: Connection[Record] | None = None
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection[Record]]:
        """The connection, opened if need be, for one caller at a time.

        Raises StoreUnavailable where it is lost, Disagreement where the server refuses the data. Left by any
        other exception (a cancellation among them) the connection is cut: its state is not known.
        """
        async with self._turn:
            try:
                connection = await self._open()
                yield connection
            except RETRYABLE:
                raise
            except LOST as fault:
                self.cut()
                raise StoreUnavailable(str(fault) or type(fault).__name__) from fault
            except asyncpg.PostgresError as fault:
                raise Disagreement(str(fault)) from fault
            except StoreError:
                raise
            except BaseException:
                self.cut()
                raise

    async def fetch(self, query: str, *arguments: object) -> Sequence[Record]:
        async with self.use() as connection:
            rows: Sequence[Record] = await connection.fetch(query, *arguments)
            return rows

    async def fetchrow(self, query: str, *arguments: object) -> Record | None:
        async with self.use() as connection:
            row: Record | None = await connection.fetchrow(query, *arguments)
            return row

    async def execute(self, query: str, *arguments: object) -> None:
        async with self.use() as connection:
            await connection.execute(query, *arguments)

    def cut(self) -> None:
        """Drop the connection at once; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Twice is fine."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
            except LOST:
                connection.terminate()

    async def _open(self) -> Connection[Record]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                max_cached_statement_lifetime=0,
                server_settings=self._settings,
            )
        return self._connection
