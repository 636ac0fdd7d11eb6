"""Keys that leave a session, modes that are put back, ports as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.cli.attach import detach_keys
from tui.cli.diagnostics import CommandError
from tui.cli.forward import parse_ports
from tui.cli.raw_terminal import DetachKeys, Modes, parse_keys
from tui.settings import settings_path


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("ctrl-],q", b"\x1dq"), ("", b""), ("ctrl-@", b"\0"), ("~,.", b"~.")],
)
def test_keys_are_what_they_type(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ä", "escape", "\x10", "ctrl-P,x,yy"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_keys(text)
    assert caught.value.error.code == "E_USAGE" and caught.value.error.field == "--detach-keys"


def test_without_the_option_the_settings_say_which_keys_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert detach_keys(None) == b"\x10\x11"
    file = settings_path()
    file.parent.mkdir(parents=True)
    file.write_text('detach_keys = "ctrl-],q"')
    assert detach_keys(None) == b"\x1dq" and detach_keys("~,.") == b"~." and detach_keys("") == b""
    file.write_text('\ndetach_keys = "escape"')
    assert detach_keys(None) == b"\x10\x11"
    told = capsys.readouterr().err
    assert "line 2: detach_keys: not a key: 'escape'" in told and "it is ctrl-p,ctrl-q" in told


def test_the_first_of_two_keys_waits_for_the_second() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ls\x10") == (b"ls", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"\x10\x10") == (b"\x10", False)
    assert keys.feed(b"\x11 more") == (b"", True)


def test_without_keys_nothing_is_held_back() -> None:
    assert DetachKeys(b"").feed(b"\x10\x11") == (b"\x10\x11", False)


@given(
    keys=st.binary(min_size=1, max_size=3),
    pieces=st.lists(st.binary(max_size=6).map(lambda data: bytes(byte % 3 for byte in data)), max_size=12),
)
def test_all_is_sent_up_to_the_keys_however_it_is_cut(keys: bytes, pieces: list[bytes]) -> None:
    keys = bytes(byte % 3 for byte in keys)
    finder, sent, left = DetachKeys(keys), b"", False
    for piece in pieces:
        more, left = finder.feed(piece)
        sent += more
        if left:
            break
    typed = b"".join(pieces)
    at = typed.find(keys)
    assert left == (at >= 0)
    if left:
        assert sent == typed[:at]
    else:
        assert typed.startswith(sent) and len(typed) - len(sent) < len(keys)


def test_modes_that_were_changed_are_put_back() -> None:
    modes = Modes()
    assert modes.undo() == b""
    modes.note(b"\x1b[?1049h\x1b[?25l\x1b[?1000;10")
    modes.note(b"06h text \x1b[?1000l")
    assert modes.undo() == b"\x1b[?1006l\x1b[?25h\x1b[?1049l\x1b[0m"
    modes.note(b"\x1b[?1049l\x1b[?25h\x1b[?1006l")
    assert modes.undo() == b""


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_any_output_can_be_watched(pieces: list[bytes]) -> None:
    modes = Modes()
    for piece in pieces:
        modes.note(piece)
    assert b"\x1b[?" not in modes.undo() or b"\x1b[?" in b"".join(pieces)


@pytest.mark.parametrize(
    ("text", "ports"), [("8888", (8888, 8888)), ("80:8888", (80, 8888)), ("0:65535", (0, 65535))]
)
def test_ports_are_two_or_one_for_both(text: str, ports: tuple[int, int]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["0", "70000", "8080:0", "70000:80", "-1", "http", "1:2:3", "", "१"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_ports(text)
    assert caught.value.error.code == "E_PORT"
