"""On a real terminal: nothing from elsewhere drives it, and no terminal brings the console down."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.tui.pty_session import PtySession, on_pty

HOSTILE = [sys.executable, "-P", str(Path(__file__).with_name("hostile_console.py"))]
DEMO = [sys.executable, "-P", "-m", "tui", "top", "--demo"]
WALK = (
    (b"3", ("JOB", "evil")),
    (b"d", ("8 › details",)),
    (b"\x1b", ("STATE",)),
    (b"C", ("Cancel job",)),
    (b"n", ("JOB",)),
    (b"\r", ("tasks", "8.0")),
    (b"w", ("8.0 › why",)),
    (b"\x1b", ("TASK",)),
    (b"l", ("8.0 › output", "ended")),
    (b"\x1b", ("TASK",)),
    (b"7", ("EVENT", "evil")),
    (b"\r", ("back",)),
    (b"2", ("NODE", "n-0000")),
    (b"d", ("n-0000 › details", "evil")),
    (b"1", ("pulse",)),
)
FROM_DATA = (
    b"\x1b[?6661h",
    b"\x1b[13;37;41m",
    b"\x1bP+q",
    b"\x1bc",
    *("\x9b\x9d\x9c\u202e\u2066\u200b\u2028\ufeff"[i].encode() for i in range(8)),
    b"\x05",
    b"\x08",
    b"\x0e",
    b"\xff",
)


def leave(terminal: PtySession) -> None:
    """It is up until it is asked to leave, and then leaves well."""
    terminal.press(b"q")
    assert terminal.wait_for_end() == 0


def test_no_byte_of_an_attack_reaches_the_terminal() -> None:
    with on_pty(HOSTILE, size=(200, 60)) as terminal:
        terminal.wait_for("LIVE", "evil")
        for keys, words in WALK:
            terminal.press(keys)
            terminal.wait_for(*words)
        terminal.press(b"/")
        terminal.wait_for("user=me")
        terminal.press(b"\x1b[200~\x1b]52;c;ZXZpbA==\x07pasted\x1b[201~")
        terminal.wait_for("pasted")
        terminal.press(b"\x1b")
        terminal.wait_for("STATE")
        leave(terminal)
    written = terminal.written
    assert not [attack for attack in FROM_DATA if attack in written]
    assert not re.findall(rb"\x1b\](?!22;)", written), "the pointer's shape is the only OSC of Textual's own"
    assert "␛]52;c;ZXZpbA==".encode() in written


@pytest.mark.parametrize(
    ("size", "environment"),
    [
        pytest.param((20, 5), {}, id="twenty by five"),
        pytest.param((1, 1), {}, id="one by one"),
        pytest.param((80, 24), {"NO_COLOR": "1"}, id="no colour"),
        pytest.param((80, 24), {"TERM": "dumb"}, id="dumb"),
        pytest.param((80, 24), {"TERM": "linux"}, id="sixteen colours"),
        pytest.param(
            (80, 24), {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, id="no Unicode"
        ),
    ],
)
def test_b121_it_stays_up_on_poor_terminals(size: tuple[int, int], environment: dict[str, str]) -> None:
    with on_pty(DEMO, size=size, environment=environment) as terminal:
        if size == (1, 1):
            terminal.resize(80, 24)
        terminal.wait_for("LIVE")
        terminal.press(b"2")
        terminal.wait_for("n-0000")
        leave(terminal)
    if "NO_COLOR" in environment or environment.get("TERM") == "dumb":
        colours = re.findall(rb"\x1b\[(?:\d+;)*[34]8;2;(\d+);(\d+);(\d+)", terminal.written)
        assert all(len({*colour}) == 1 for colour in colours), "greys only"
    if "PYTHONUTF8" in environment:
        assert terminal.written.isascii()


def test_b121_a_storm_of_sizes_leaves_it_standing() -> None:
    with on_pty(DEMO) as terminal:
        terminal.wait_for("LIVE")
        for step in range(200):
            terminal.resize(1 + step * 37 % 220, 1 + step * 11 % 70)
        terminal.resize(100, 30)
        terminal.press(b"2")
        terminal.wait_for("n-0000")
        leave(terminal)


def test_b121_a_megabyte_pasted_is_cut_not_choked_on() -> None:
    with on_pty(DEMO) as terminal:
        terminal.wait_for("LIVE")
        paste = b"\x1b[200~" + b"name~" + b"x" * 1_000_000 + b"\x1b[201~"
        terminal.press(paste)  # nobody asked for it
        terminal.press(b"/")
        terminal.wait_for("user=me")
        terminal.press(paste)
        terminal.wait_for("xxxxx")
        terminal.press(b"\r")
        terminal.wait_for("Nothing matches")
        terminal.press(b"\x1b")
        terminal.wait_for("STATE")
        leave(terminal)
