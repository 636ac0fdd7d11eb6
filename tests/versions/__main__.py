"""`python -m tests.versions record`: put into this version's set what it says and the set does not show."""

from __future__ import annotations

import sys
from importlib.metadata import version

from tests.versions.recording import HERE, add


def main(words: list[str]) -> int:
    if words != ["record"]:
        print(__doc__)
        return 2
    added = add(version("corral"))
    print(f"{added} new examples in {HERE.name}/{version('corral')}; what was recorded stands as it was")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
