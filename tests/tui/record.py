"""`python -m tests.tui.record [SCENE…]`: take the pictures of these scenes, or of all, as the right ones.

Look at what `git diff tests/tui/recorded` shows before you commit it.
"""

from __future__ import annotations

import asyncio
import sys

from tests.tui.picture import HERE, pictures
from tests.tui.scenes import SCENES


async def record(names: list[str]) -> int:
    known = {scene.name for scene in SCENES}
    if unknown := sorted({*names} - known):
        print(f"no scene {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    HERE.mkdir(exist_ok=True)
    changed = 0
    for scene in SCENES:
        if names and scene.name not in names:
            continue
        for file, picture in (await pictures(scene)).items():
            if not file.exists() or file.read_text() != picture:
                file.write_text(picture)
                print(file.name)
                changed += 1
    for file in HERE.glob("*.txt"):
        if file.name.split(".")[0] not in known:
            file.unlink()
            print(f"{file.name} is nobody's any more")
    print(f"{changed} pictures are others than before")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(record(sys.argv[1:])))
