"""`python -m tests.documents`: draw every document anew that is made from the code, and record this version.

What is not drawn by it: the console's screens (`python -m tests.tui.record`), which are looked at first.
"""

from __future__ import annotations

import asyncio
import sys

from tests.documents.drawing import DOCS, PAGES, NoPlace, with_schema
from tests.versions.__main__ import main as versions


def main() -> int:
    """Says of each whether it changed; the exit code is 1 where one has no place for what is drawn."""
    texts = {name: (DOCS / name).read_text() for name in (*PAGES, "schema.md")}
    try:
        drawn = {name: draw(texts[name]) for name, draw in PAGES.items()}
        drawn["schema.md"] = asyncio.run(with_schema(texts["schema.md"]))
    except (NoPlace, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, text in drawn.items():
        if text != texts[name]:
            (DOCS / name).write_text(text)
        print(f"docs/{name}: {'drawn anew' if text != texts[name] else 'as it was'}")
    return versions(["record"])


if __name__ == "__main__":
    sys.exit(main())
