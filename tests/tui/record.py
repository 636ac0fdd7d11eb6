"""`python -m tests.tui.record [SCENE…]`: take the pictures of these scenes, or of all, as the right ones.

Look at what `git diff tests/tui/recorded` shows before you commit it.
"""

from __future__ import annotations

import sys

from tests.tui.picture import HERE, file_of, picture
from tests.tui.scenes import SCENES


def record(names: list[str]) -> int:
    """Returns an exit code: 1 where a scene does not show its words."""
    known = {scene.name for scene in SCENES}
    if unknown := sorted({*names} - known):
        print(f"no scene {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    HERE.mkdir(exist_ok=True)
    changed, wrong = 0, 0
    for scene in SCENES:
        if names and scene.name not in names:
            continue
        try:
            now = picture(scene)
        except AssertionError as error:
            print(f"{scene.name}: {error}", file=sys.stderr)
            wrong += 1
            continue
        file = file_of(scene)
        if not file.exists() or file.read_text() != now:
            file.write_text(now)
            print(file.name)
            changed += 1
    for file in HERE.glob("*.txt"):
        if file.stem not in known:
            file.unlink()
            print(f"{file.name} is nobody's any more")
    print(f"{changed} pictures are others than before")
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(record(sys.argv[1:]))
