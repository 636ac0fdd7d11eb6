"""The command among real pipes, terminals and signals."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WAIT_S = 20.0
COMMAND = (sys.executable, "-m", "tests.unit.tui.driven")


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CORRAL_")}
    kept.pop("NO_COLOR", None)
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "XDG_CONFIG_HOME": "/nowhere", **changes}


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash; `corral` is the command over the coordinator in hand."""
    function = f'corral() {{ {" ".join(COMMAND)} "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", function + line],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=WAIT_S * 2,
    )  # fmt: skip


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self.shown = b""
        self._screen = screen

    def until(self, condition: Callable[[bytes], bool]) -> bytes:
        """What was shown, once it is so. Fails after WAIT_S."""
        end = time.monotonic() + WAIT_S
        while not condition(self.shown):
            assert time.monotonic() < end, self.shown
            ready, _, _ = select.select([self._screen], [], [], 0.1)
            if ready:
                try:
                    self.shown += os.read(self._screen, 65_536)
                except OSError:  # the other side is closed
                    break
        return self.shown

    def ended(self) -> int:
        self.until(lambda shown: self.process.poll() is not None)
        return self.process.wait(WAIT_S)


@contextmanager
def terminal(*argv: str, stdout: int | None = None, **changes: str) -> Iterator[Terminal]:
    screen, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *argv],
        cwd=ROOT, env=environment(**changes), stdin=side, stdout=stdout if stdout is not None else side,
        stderr=side, start_new_session=True,
    )  # fmt: skip
    os.close(side)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


@pytest.mark.parametrize("form", ["table", "jsonl", "name"])
def test_a_reader_that_has_enough_ends_an_endless_list(form: str) -> None:
    limit = "--limit 100" if form == "table" else "--all"
    done = shell(f"corral jobs {limit} -o {form} | head -n 2; echo ${{PIPESTATUS[0]}}")
    *lines, code = done.stdout.splitlines()
    assert len(lines) == 2
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert int(code) in ((0, 141) if form == "table" else (141,))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("corral jobs >&-", 0),
        ("corral jobs --limit 1 2>&-", 0),
        ("corral jobs <&-", 0),
        ("corral jobs >&- 2>&- <&-", 0),
        ("corral nonsense 2>&-", 2),
        ("corral submit --file - <&-", 2),
        ("corral jobs >/dev/full", 69),
    ],
)
def test_closed_streams_leave_no_traceback(line: str, code: int) -> None:
    done = shell(line)
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_terminal_has_colours_and_a_pipe_has_not() -> None:
    with terminal("jobs", "--limit", "1") as coloured:
        assert coloured.ended() == 0
    assert b"\x1b[36mrunning\x1b[0m" in coloured.shown
    assert "\x1b" not in shell("corral jobs --limit 1").stdout


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(changes: dict[str, str]) -> None:
    with terminal("jobs", "--limit", "1", **changes) as plain:
        assert plain.ended() == 0
    assert b"running" in plain.shown and b"\x1b" not in plain.shown


def test_a_locale_without_our_glyphs_is_no_failure() -> None:
    done = shell("PYTHONIOENCODING=latin-1 corral jobs --limit 1 -o table")
    assert done.returncode == 0
    assert "running" in done.stdout and "?" in done.stdout
    assert "Traceback" not in done.stderr


def test_progress_is_drawn_over_on_a_terminal() -> None:
    with terminal("wait", "7") as waiting:
        waiting.until(lambda shown: shown.count(b"\r\x1b[K") >= 2)
    assert "2 completed" in waiting.shown.decode()
    assert "━" in waiting.shown.decode()


def test_a_dumb_terminal_gets_plain_lines() -> None:
    with terminal("wait", "7", TERM="dumb") as waiting:
        waiting.until(lambda shown: b"job 7 running" in shown)
    assert b"\x1b" not in waiting.shown


def test_why_a_job_does_not_start_is_said_and_cannot_drive_the_terminal() -> None:
    with terminal("wait", "8") as waiting:
        waiting.until(lambda shown: b"no node has 500 cores" in shown)
    assert b"\x1b[2J" not in waiting.shown


def test_quiet_shows_nothing() -> None:
    done = shell("corral wait 7 --timeout 1 --quiet")
    assert done.returncode == 75
    assert done.stderr.startswith("error[E_TIMEOUT]")


@pytest.mark.parametrize("argv", [("wait", "8"), ("submit", "--wait", "--", "true")])
def test_ctrl_c_says_that_the_job_goes_on(argv: tuple[str, ...]) -> None:
    with terminal(*argv) as waiting:
        waiting.until(lambda shown: b"no node has" in shown)
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.ended() == 130
    assert b"job 8 not ended: corral wait 8 comes back" in waiting.shown
    assert b"Traceback" not in waiting.shown


def test_ctrl_c_cancels_and_a_second_one_says_what_may_still_run() -> None:
    with terminal("run", "--", "sleep", "1000") as running:
        running.until(lambda shown: b"no node has" in shown)
        running.process.send_signal(signal.SIGINT)
        running.until(lambda shown: b"cancelling job 8; ctrl-C again" in shown)
        running.process.send_signal(signal.SIGINT)
        assert running.ended() == 130
    assert b"job 8 may still run; corral cancel 8 ends it" in running.shown
    assert b"Traceback" not in running.shown


@pytest.mark.parametrize("argv", [("jobs", "--all", "-o", "name"), ("logs", "-f", "7"), ("events", "-f")])
def test_ctrl_c_ends_what_only_looks(argv: tuple[str, ...]) -> None:
    with terminal(*argv) as looking:
        looking.until(lambda shown: b"\n" in shown)
        looking.process.send_signal(signal.SIGINT)
        assert looking.ended() == 130
    assert b"interrupted" in looking.shown
    assert b"Traceback" not in looking.shown


def test_the_console_needs_a_terminal() -> None:
    done = shell("corral top </dev/null")
    assert done.returncode == 2
    assert "error[E_TERMINAL]" in done.stderr


@pytest.mark.parametrize("module", ["tui.cli.dispatch", "tui.cli.parser", "tui.cli.jobs"])
def test_ctrl_c_while_it_starts_leaves_no_traceback(module: str) -> None:
    program = f"""
import os, signal, sys
from tui.__main__ import main

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "jobs"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
