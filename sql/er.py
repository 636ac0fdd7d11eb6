"""The entity-relationship diagram of the schema, drawn from the database's catalogue.

`python -m sql.er DSN docs/schema.md` puts the diagram of a migrated database into the document.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sql import queries
from sql.migrate import connect

_FENCE = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)

_TYPES = {
    "timestamp with time zone": "timestamptz",
    "double precision": "float8",
    "boolean": "bool",
    "integer": "int",
    "character varying": "varchar",
}


class Catalogue(Protocol):
    """What can be asked for rows: a connection."""

    async def fetch(self, query: str, /) -> Sequence[Mapping[str, Any]]: ...


async def er_diagram(connection: Catalogue) -> str:
    """Mermaid text: each table with its columns, each foreign key as a line."""
    sql = queries("catalogue")
    columns = [row for row in await connection.fetch(sql["columns"]) if row["kind"] != "v"]
    keys = await connection.fetch(sql["foreign_keys"])
    foreign = {(row["table_name"], column) for row in keys for column in row["columns"]}
    lines = ["erDiagram"]
    lines += sorted(
        f"    {row['target']} {'|o' if row['nullable'] else '||'}--o{{ {row['table_name']}"
        f" : {'_'.join(row['columns'])}"
        for row in keys
    )
    for table in dict.fromkeys(row["table_name"] for row in columns):
        lines.append(f"    {table} {{")
        for row in columns:
            if row["table_name"] == table:
                marks = ["PK"] * row["is_key"] + ["FK"] * ((table, row["column_name"]) in foreign)
                suffix = f" {', '.join(marks)}" if marks else ""
                lines.append(f"        {_type(row['type'])} {row['column_name']}{suffix}")
        lines.append("    }")
    return "\n".join(lines) + "\n"


def with_diagram(document: str, diagram: str) -> str:
    """`document` with its one mermaid block replaced."""
    replaced, count = _FENCE.subn(lambda _: f"```mermaid\n{diagram}```\n", document)
    if count != 1:
        raise ValueError(f"expected one mermaid block, found {count}")
    return replaced


def _type(name: str) -> str:
    """Short, and without what mermaid's grammar does not take."""
    base = re.sub(r"\(.*\)", "", name)
    array = base.endswith("[]")
    base = base.removesuffix("[]")
    return _TYPES.get(base, base) + ("_array" if array else "")


async def _draw(dsn: str) -> str:
    connection = await connect(dsn)
    try:
        return await er_diagram(connection)
    finally:
        await connection.close()


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.write_text(with_diagram(target.read_text(), asyncio.run(_draw(sys.argv[1]))))
