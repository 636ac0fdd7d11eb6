"""The `corral` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Entry point of the installed command; returns its exit code."""
    try:
        from tui.cli.dispatch import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to interrupt, or once more while saying so
        return 130


if __name__ == "__main__":
    sys.exit(main())
