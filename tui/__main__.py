"""The `corral` command."""

from __future__ import annotations

import gc
import sys

GARBAGE_THRESHOLD = 50_000
"""New objects between two looks for garbage: what a short command imports is none."""


def main() -> int:
    """Entry point of the installed command; returns its exit code."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        from tui.cli.dispatch import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to interrupt, or once more while saying so
        return 130
    finally:
        gc.freeze()  # it goes with the process: looking through it once more takes a fifth of a short command


if __name__ == "__main__":
    sys.exit(main())
