"""`python -m sql`: brings a database up to this version, as its owner.

For whom the coordinator may not do it. The address comes on standard input: others can see an argv. Prints
what was applied; exit 1 where the database cannot be used, 2 where no address came.
"""

from __future__ import annotations

import asyncio
import sys

from sql.errors import DatabaseRefused, SchemaError
from sql.migrate import migrate
from sql.own import examine, place_of


async def _main(dsn: str) -> int:
    try:
        before = await examine(dsn)
        applied = await migrate(dsn)
    except DatabaseRefused as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return 1
    except (SchemaError, OSError) as error:
        sys.stderr.write(f"error: {place_of(dsn)}: {error}\n")
        return 1
    for name in applied:
        sys.stdout.write(f"{name}\n")
    if not applied:
        sys.stdout.write(f"{before.host} is at migration {before.migration}: nothing to do\n")
    return 0


def main() -> int:
    dsn = sys.stdin.readline().strip()
    if "://" not in dsn:
        sys.stderr.write(
            "error: no address on standard input: expected postgresql://OWNER:PASSWORD@HOST/DATABASE\n"
        )
        return 2
    return asyncio.run(_main(dsn))


if __name__ == "__main__":
    sys.exit(main())
