"""Standing by, with the product's own rules: `coordinator.store.leadership.Standby` on the simulated rows.

Its coroutine is driven by hand: what it asks its session for becomes a call to the database, and what comes
back, or fails, resumes it. So no event loop is needed, and a look may take as long as the database does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from datetime import UTC, datetime
from typing import Any

from coordinator.store.errors import StoreError
from coordinator.store.leadership import _SQL, STANDING_BY, Standby
from tests.sim.database import Connection, Rows

Work = Callable[[Rows], Any]


class _Asked:
    """Awaited, it stands for the answer of the database."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __await__(self) -> Generator[Work, Any, Any]:
        return (yield self._work)


class SimSession:
    """`coordinator.store.connection.Session` for the statements of a standby."""

    connected = True

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        return await _Asked(lambda rows: self._answer(rows, sql, arguments))

    async def execute(self, sql: str, *arguments: Any) -> None:
        await _Asked(lambda rows: self._answer(rows, sql, arguments))

    def _answer(self, rows: Rows, sql: str, arguments: tuple[Any, ...]) -> Any:
        row = rows.leadership
        if sql == _SQL["current"]:
            return None if row.holder is None else _as_row(rows)
        if sql == _SQL["take_first"]:
            return self._take(rows) if row.holder is None else None
        if sql == _SQL["take_over"]:
            return self._take(rows) if row.epoch == arguments[1] else None
        if sql == _SQL["stand_by"]:
            (row.waiting.add if arguments[0] == STANDING_BY else row.waiting.discard)(self._connection)
        else:
            assert sql == _SQL["end_backend"], sql
        return None

    def _take(self, rows: Rows) -> dict[str, Any]:
        row = rows.leadership
        row.epoch += 1
        row.holder, row.resigned = self._connection, False
        row.renewed_at = self._connection.now_s
        row.waiting.discard(self._connection)
        rows.batches[row.epoch] = -1
        return {"epoch": row.epoch}


def _as_row(rows: Rows) -> dict[str, Any]:
    row = rows.leadership
    assert row.holder is not None
    return {
        "epoch": row.epoch,
        "holder": "another",
        "backend_pid": 1,
        "renewed_at": datetime.fromtimestamp(row.renewed_at, UTC),
        "alive": row.holder.open,
        "resigned": row.resigned,
    }


def look(
    standby: Standby,
    connection: Connection,
    *,
    fit: bool,
    done: Callable[[int | None], None],
    failed: Callable[[StoreError], None],
) -> None:
    """One look at the leader's row: `done` hears the epoch if it is ours now."""
    _drive(standby.look(fit=fit), connection, done, failed)


def _drive(
    coroutine: Coroutine[Work, Any, int | None],
    connection: Connection,
    done: Callable[[int | None], None],
    failed: Callable[[StoreError], None],
) -> None:
    def resume(answer: Any) -> None:
        go_on(lambda: coroutine.send(answer))

    def refuse(error: StoreError) -> None:
        go_on(lambda: coroutine.throw(error))

    def go_on(step: Callable[[], Work]) -> None:
        try:
            work = step()
        except StopIteration as end:
            done(end.value)
        except StoreError as error:
            failed(error)
        else:
            connection.call(work, resume, refuse)

    resume(None)
