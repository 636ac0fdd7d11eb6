"""The tables of Corral: migrations, and the named queries that the store runs.

SQL lives in `.sql` files only. `queries("jobs")["live"]` is the text of one query of
`sql/coordinator/queries/jobs.sql`; its parameters are positional (`$1` …).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import aiosql

FOLDER = Path(__file__).resolve().parent
QUERIES = FOLDER / "coordinator" / "queries"
MIGRATIONS = FOLDER / "coordinator" / "migrations"


@cache
def queries(table: str) -> Mapping[str, str]:
    """The text of every query in `table`'s file, by name. Raises FileNotFoundError."""
    path = QUERIES / f"{table}.sql"
    if not path.is_file():
        raise FileNotFoundError(path)
    parsed = aiosql.from_path(path, "asyncpg", mandatory_parameters=False)
    names = [name for name in parsed.available_queries if not name.endswith("_cursor")]
    return MappingProxyType({name: str(getattr(parsed, name).sql) for name in names})
