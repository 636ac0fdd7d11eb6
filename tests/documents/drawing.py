"""Documents, or parts of them, that are drawn from the code: what each has to say now.

`python -m tests.documents`, or `make documents`, writes them; tests compare them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sql import server
from sql.er import er_diagram, with_diagram
from sql.migrate import connect, migrate
from tests.catalogue.document import draw as codes
from tests.documents import filters, protocol
from tui.cli.manual import markdown
from tui.cli.reference import verbs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class NoPlace(Exception):
    """The document has no place for what is drawn; the text names both."""


def with_tables(text: str) -> str:
    """protocol.md: what stands between `<!-- table: NAME -->` and `<!-- end -->`."""
    for name, table in protocol.drawn().items():
        text = _put(text, rf"(<!-- table: {name} -->\n).*?(\n?<!-- end -->)", table, f"table {name}")
    return text


def with_fields(text: str) -> str:
    """filter.md: the table after each of its headings."""
    for title, fields in filters.TABLES.items():
        text = _put(text, rf"(### {title}\n\n)(?:\|[^\n]*\n)*()", filters.drawn(fields), f"heading {title}")
    return text


def with_states(text: str) -> str:
    """states.md: what `corral schema states` prints, as text and as a diagram."""
    for form in ("table", "mermaid"):
        printed = subprocess.run(
            [sys.executable, "-P", "-m", "tui", "schema", "states", "-o", form],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        place = rf"(<!-- drawn: {form} -->\n```\w+\n).*?(```\n<!-- end -->)"
        text = _put(text, place, printed, f"{form} of the states")
    return text


async def with_schema(text: str) -> str:
    """schema.md: the diagram of a database that is migrated for it, on a PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="corral-documents-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        process = server.prepare(folder / "postgres", port=server.free_port())
        child = server.start(process)
        try:
            await migrate(process.dsn)
            connection = await connect(process.dsn)
            try:
                return with_diagram(text, await er_diagram(connection))
            finally:
                await connection.close()
        finally:
            server.stop(child)


PAGES: dict[str, Callable[[str], str]] = {
    "commands.md": lambda _: markdown(verbs()),
    "errors.md": lambda _: codes(),
    "filter.md": with_fields,
    "protocol.md": with_tables,
    "states.md": with_states,
}
"""What each has to be, from what it is."""


def _put(text: str, place: str, drawn: str, what: str) -> str:
    """`drawn` between the two groups of the pattern `place`. Raises NoPlace."""
    replaced, count = re.subn(place, lambda found: found[1] + drawn + found[2], text, flags=re.DOTALL)
    if count != 1:
        raise NoPlace(f"the document has {count} places for the {what}; there must be one")
    return replaced
