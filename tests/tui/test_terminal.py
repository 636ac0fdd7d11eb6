"""On a real terminal: nothing from elsewhere drives it, and no terminal brings the console down."""

from __future__ import annotations

import base64
import re
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.tui.pty_session import PtySession, on_pty
from tui.view.modes import MODE_DIGITS

HOSTILE = [sys.executable, "-P", str(Path(__file__).with_name("hostile_console.py"))]
DEMO = [sys.executable, "-P", "-m", "tui", "top", "--demo"]
MODES = [digit.encode() for digit in MODE_DIGITS.values()]
PUSHED = (b"d", b"w", b"l", b"\r", b"C", b"S", b"W", b"?", b":", b"\x10", b"Y")
"""Every key that opens something where it is known: screens, forms, questions, messages."""

CTRL_N, CTRL_O, CTRL_P, CTRL_S, CTRL_T = b"\x0e", b"\x0f", b"\x10", b"\x13", b"\x14"
WIDGETS = {
    "tree": ([b"3"], [b"x", b"\r", b"\x1b[B", b"\r"]),
    "gantt": ([b"2"], [b"b", *[b"\x1b[D" * 5] * 8]),
    "charts": ([b"5"], [b"s"]),
    "chart of a node": ([b"2"], [b"c"]),
    "what-if": ([b"2"], [b"W"]),
    "devices": ([], [b"8"]),
    "tools": ([], [b"9"]),
    "volumes": ([b"8"], [b"v"]),
    "pools": ([b"8"], [b"p"]),
    "topologies": ([b"8"], [b"o"]),
    "GPUs": ([b"8"], [b"t", b"t", b"t"]),
    "tool": ([b"5"], [b":tool wordcount\r"]),
    "call of a tool": ([b"9"], [b"c", b"x", CTRL_S]),
    "users": ([], [b"0"]),
    "tokens": ([b"0"], [b"t"]),
    "connections": ([b"0"], [b"o"]),
    "scheduler": ([], [b"6"]),
    "changes": ([b"5"], [CTRL_N]),
    "spike": ([b"5"], [b":spike 2h..1h\r"]),
    "question": ([b"3"], [b"C"]),
    "refused deed": ([b"3"], [b"C", b"y"]),
    "journal": ([b"3"], [b"a"]),
    "form that is refused": ([b"5"], [b"S", b"true", CTRL_S]),
    "form of an old job": ([b"3"], [b"s"]),
    "completion": ([b"3"], [b":filter name~\t"]),
    "palette": ([b"5"], [CTRL_P, b"evil"]),
    "places": ([b"5"], [CTRL_O]),
    "moment": ([b"5"], [CTRL_T]),
    "help": ([b"5"], [b"?"]),
    "past": ([b"5"], [b",", b"3"]),
}
"""By name: the keys that lead to where it can be opened, and those after which it is there."""

TIMES_MOST, SHOWN_S = 6, 5.0
QUIET = frozenset({"charts", "chart of a node", "what-if", "completion", "places", "moment", "help"})
"""These show names that are ours, or checked where they come in; what they might show is clean as well."""

OURS = re.compile(
    rb"\x1b\[[0-9;:]*[mHJK]"  # colours, places, and what is wiped
    rb"|\x1b\[\?(?:7|25|100[0-6]|1015|1016|1049|2004|2026|2048)[hl]"  # modes of mouse, focus, paste, sync
    rb"|\x1b\[\?(?:2026|2048)\$p|\x1b\[[<>]\d*u"  # questions for those, and for keys
    rb"|\x1b\]22;[a-z-]*(?:\x07|\x1b\\)"  # the pointer's shape
    rb"|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the clipboard, for the reader's own Y
)
"""All that Textual writes to a terminal besides text."""


def strange(written: bytes) -> list[str]:
    """What else drives or deceives a terminal."""
    text = OURS.sub(b"", written).decode()
    return [
        f"{sign!a} in {text[max(0, at - 20) : at + 20]!a}"
        for at, sign in enumerate(text)
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign not in "\r\n"
    ]


def leave(terminal: PtySession) -> None:
    """It is up until it is asked to leave, and then leaves well."""
    terminal.press(b"q")
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize("lists", [b"2", b"3", b"7"], ids=["nodes", "jobs", "events"])
def test_no_byte_of_an_attack_reaches_the_terminal(lists: bytes) -> None:
    with on_pty(HOSTILE, size=(200, 60)) as terminal:
        terminal.wait_for("LIVE", "evil")
        for mode in (*MODES, lists):
            terminal.press(mode)
            terminal.settle()
        for key in PUSHED:
            terminal.press(key)
            terminal.settle()
            terminal.press(b"\x1b\x1b")
            terminal.settle()
            terminal.press(lists)
        terminal.settle()
        assert terminal.process.poll() is None, terminal.shown[-2000:]
    assert not strange(terminal.written)
    assert b"\x1b[13;37;41m" not in terminal.written, "a style is made of bytes that are ours"
    clipped = re.findall(rb"\x1b\]52;c;([^\x07]*)\x07", terminal.written)
    assert b"ZXZpbA==" not in clipped
    assert all(not strange(base64.b64decode(text)) for text in clipped)
    assert "evil␛[?6661h".encode() in terminal.written


def open_widget(terminal: PtySession, before: list[bytes], keys: list[bytes], *, told: str) -> None:
    """Until it has shown what is `told` there: keys that come before a list has rows have nothing to do."""
    for _ in range(TIMES_MOST):
        for place, key in enumerate([*before, *keys]):
            terminal.press(key, after=place > len(before))
            terminal.settle()
        if terminal.shows(told, within_s=SHOWN_S):
            return
        # elsewhere: what stands there already is not painted again
        for key in (b"\x1b\x1b", b"\x1b\x1b", b"5"):
            terminal.press(key)
            terminal.settle()
    raise AssertionError((before, keys, terminal.shown[-2000:]))


def test_no_byte_of_an_attack_comes_through_a_widget_either() -> None:
    """Charts, trees, forms, lines one types, questions, messages: each shows what somebody else wrote."""
    with on_pty(HOSTILE, size=(200, 60)) as terminal:
        terminal.wait_for("LIVE", "evil")
        reached: list[str] = []
        for name, (before, keys) in WIDGETS.items():
            open_widget(terminal, before, keys, told="" if name in QUIET else "evil")
            reached.append(name)
            for _ in range(3):
                terminal.press(b"\x1b\x1b")
                terminal.settle()
        assert terminal.process.poll() is None, terminal.shown[-2000:]
    assert reached == [*WIDGETS]
    assert not strange(terminal.written)


def test_what_is_pasted_cannot_drive_the_terminal_either() -> None:
    with on_pty(HOSTILE, size=(200, 60)) as terminal:
        terminal.wait_for("LIVE", "evil")
        terminal.press(b"3/")
        terminal.wait_for("user=me")
        terminal.press(b"\x1b[200~\x1b]52;c;ZXZpbA==\x07pasted\x1b[201~")
        terminal.wait_for("pasted")
        terminal.press(b"\x1b")
        terminal.wait_for("STATE")
        leave(terminal)
    assert not strange(terminal.written)


def test_names_of_a_megabyte_are_cut_not_choked_on() -> None:
    with on_pty([*HOSTILE, "long"]) as terminal:
        terminal.wait_for("LIVE", "xxxx")
        for key in (b"2", b"d", b"\x1b", b"3", b"d", b"\x1b", b"w", b"\x1b", b"C", b"\x1b", b"\r", b"7"):
            terminal.press(key)
            terminal.settle()
        leave(terminal)
    assert not strange(terminal.written)


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
