"""The heading stands before Textual is read; nothing blinks until the console comes, and nothing is left."""

from __future__ import annotations

import sys

from tests.tui.pty_session import on_pty
from tui.early_picture import OTHER_SCREEN, OWN_SCREEN

TOP = [sys.executable, "-m", "tui", "top", "--demo"]

FAILS = """
from tui.early_picture import early_picture
with early_picture():
    raise SystemExit("no console today")
"""
STANDS = """
from tui.early_picture import early_picture
with early_picture() as picture:
    print(picture.stands)
"""


def test_the_console_goes_on_from_it_and_leaves_the_terminal_as_it_was() -> None:
    with on_pty(TOP) as terminal:
        terminal.wait_for("starting")
        assert b"connecting" not in terminal.shown
        terminal.wait_for("LIVE")
        assert terminal.written.count(OTHER_SCREEN.encode()) == 1
        terminal.press(b"q")
        assert terminal.wait_for_end() == 0
        assert terminal.written.count(OWN_SCREEN.encode()) == 1
        assert terminal.echoes


def test_what_follows_it_is_the_whole_console_at_once() -> None:
    with on_pty(TOP) as terminal:
        terminal.wait_for("leave")  # the last line of it
        assert b"connecting" in terminal.written and b"loading" in terminal.written


def test_a_key_that_comes_meanwhile_is_neither_echoed_nor_lost() -> None:
    with on_pty(TOP) as terminal:
        terminal.wait_for("starting")
        assert not terminal.echoes
        terminal.press(b"2", after=True)
        terminal.wait_for("LIVE", "SEEN")
        before = terminal.written.split(b"\x1b[?1000h")[0]
        assert before.endswith(b"\x1b[0m"), before


def test_where_no_console_comes_the_terminal_is_put_back() -> None:
    with on_pty([sys.executable, "-c", FAILS]) as terminal:
        assert terminal.wait_for_end() == 1
        assert terminal.written.index(OTHER_SCREEN.encode()) < terminal.written.index(OWN_SCREEN.encode())
        assert terminal.written.index(OWN_SCREEN.encode()) < terminal.written.index(b"no console today")
        assert terminal.echoes


def test_a_terminal_without_unicode_is_told_in_its_own_signs() -> None:
    with on_pty(TOP, environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}) as terminal:
        terminal.wait_for("o starting ...")
        assert terminal.shown.isascii()


def test_where_stderr_is_no_terminal_nothing_is_painted() -> None:
    with on_pty(["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, STANDS]) as terminal:
        terminal.wait_for("False")
        assert OTHER_SCREEN.encode() not in terminal.written
