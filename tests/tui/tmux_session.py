"""A program in a terminal of its own, inside tmux: what stands on its screen, keys for it, what it copied.

Every session is a tmux server of its own without anybody's settings, so that nobody's terminals are touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 25.0
POLL_S = 0.05
_SETTINGS = """
set -g status off
set -s escape-time 0
set -s set-clipboard on
set -g remain-on-exit on
set -g default-terminal tmux-256color
set -g history-limit 2000
"""


class TmuxSession:
    """Windows are addressed by their names; the first is `main`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._socket = folder / "tmux.sock"
        self._settings = folder / "tmux.conf"
        self._settings.write_text(_SETTINGS)
        self._environment = dict(environment)
        self.window = "main"

    def start(self, command: Sequence[str], *, size: tuple[int, int]) -> None:
        """The first window, with a screen of `size`."""
        columns, rows = size
        self._tmux(
            *("-f", str(self._settings), "new-session", "-d", "-s", "s", "-n", "main"),
            *("-x", str(columns), "-y", str(rows), *command),
        )

    def open(self, name: str, command: Sequence[str]) -> None:
        """Another window; keys go on going to the one they went to."""
        self._tmux("new-window", "-d", "-n", name, "-t", "s:", *command)

    def stop(self) -> None:
        """End all that runs in it."""
        self._tmux("kill-server", check=False)

    def resize(self, columns: int, rows: int) -> None:
        """As a terminal window would."""
        self._tmux("resize-window", "-t", self._target, "-x", str(columns), "-y", str(rows))

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: Enter, Escape, C-s, Up; letters are themselves."""
        self._tmux("send-keys", "-t", self._target, "--", *keys)

    def type(self, text: str) -> None:
        """Letter by letter, none of them a key's name."""
        self._tmux("send-keys", "-t", self._target, "-l", "--", text)

    def go_to_next_line(self) -> None:
        """Tab, and wait for the cursor to be elsewhere: letters may overtake keys that are none."""
        before = self._cursor()
        self.press("Tab")
        self.until(lambda: now if (now := self._cursor()) != before else "", "the cursor moves")

    def cursor_label(self) -> str:
        """The first word of the line that the cursor stands in, behind a frame; "" where it is in none."""
        line = self.screen().splitlines()[int(self._cursor())]
        return next(iter(line.split("│")[-2].split()), "") if line.count("│") > 1 else ""

    def _cursor(self) -> str:
        return self._tmux("display-message", "-p", "-t", self._target, "#{cursor_y}")

    def enter(self, window: str, line: str) -> None:
        """A line into another window, and Enter."""
        self._tmux("send-keys", "-t", f"s:{window}", "-l", "--", line)
        self._tmux("send-keys", "-t", f"s:{window}", "Enter")

    def forget_copied(self) -> None:
        """So that the next thing copied is known to be new."""
        while self.copied:
            self._tmux("delete-buffer")

    @property
    def copied(self) -> str:
        """What the program copied last; "" where it copied nothing."""
        return self._tmux("show-buffer", check=False)

    def screen(self, window: str = "") -> str:
        """The text that stands there."""
        return self._tmux("capture-pane", "-p", "-t", f"s:{window}" if window else self._target)

    def wait_for(self, *words: str, gone: Sequence[str] = (), window: str = "") -> str:
        """Until all `words` stand there, and nothing of `gone`; the screen then."""

        def is_there() -> str:
            seen = self.screen(window)
            there = all(word in seen for word in words) and not any(word in seen for word in gone)
            return seen if there else ""

        return self.until(is_there, f"{words} without {tuple(gone)}", window=window)

    def until(self, condition: Callable[[], str], what: str, *, window: str = "") -> str:
        """Wait for something that is true."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(POLL_S)
        raise AssertionError(f"not within {WAIT_S:g} s: {what}\n{self.screen(window)}")

    @property
    def is_over(self) -> bool:
        """Whether the program has ended."""
        return self._tmux("display-message", "-p", "-t", self._target, "#{pane_dead}").strip() == "1"

    @property
    def _target(self) -> str:
        return f"s:{self.window}"

    def _tmux(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert not check or done.returncode == 0, (words, done.stderr)
        return done.stdout if done.returncode == 0 else ""


@contextmanager
def in_tmux(
    command: Sequence[str], *, size: tuple[int, int] = (120, 40), environment: Mapping[str, str] | None = None
) -> Iterator[TmuxSession]:
    """Run `command` for the time of the block."""
    folder = Path(tempfile.mkdtemp(prefix="corral-tmux-"))
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    session = TmuxSession(folder, {**known, "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh", **(environment or {})})
    try:
        session.start(command, size=size)
        yield session
    finally:
        session.stop()
        shutil.rmtree(folder, ignore_errors=True)
