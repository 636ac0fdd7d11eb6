"""Somebody at a desk: the console in tmux on a real cluster, a shell beside it, and a look at what is so."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bus.client import Client
from bus.errors import CorralError
from bus.layout import Layout
from tests.fixtures_cluster import LiveCluster
from tests.tui.tmux_session import TmuxSession, in_tmux
from tui.view.modes import MODE_DIGITS

T = TypeVar("T")
WAIT_S = 30.0
POLL_S = 0.05
SHELL = "shell"
MODES = {digit: mode for mode, digit in MODE_DIGITS.items()}


class Witness:
    """A client of its own, on a thread of its own: it sees what is so, whatever the console shows."""

    def __init__(self, cluster: LiveCluster, user: str) -> None:
        self._credentials = Layout(cluster.folder).credentials(user)
        self._url = cluster.nats.url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="witness")

    @contextmanager
    def looking(self) -> Iterator[Witness]:
        """Connected for the time of the block."""
        self._thread.start()
        connecting = Client.connect(self._url, self._credentials)
        self._client = self._run(connecting.__aenter__())
        try:
            yield self
        finally:
            self._run(connecting.__aexit__(None, None, None))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(WAIT_S)
            self._loop.close()

    def ask(self, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """The answer; raises CorralError."""
        return self._run(question(self._client))

    def sees(
        self, question: Callable[[Client], Coroutine[Any, Any, T]], condition: Callable[[T], object]
    ) -> T:
        """Ask until the answer is as it should be."""
        end = time.monotonic() + WAIT_S
        answer: object = None
        while time.monotonic() < end:
            try:
                found = self.ask(question)
                answer = found
                if condition(found):
                    return found
            except CorralError as error:
                answer = error
            time.sleep(POLL_S)
        raise AssertionError(f"not within {WAIT_S:g} s; the last answer: {answer}")

    def _run(self, asking: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asking, self._loop).result(WAIT_S)


class Desk:
    """`screen` is the console; `witness` asks the cluster as the same user."""

    def __init__(self, screen: TmuxSession, witness: Witness) -> None:
        self.screen = screen
        self.witness = witness
        self._pasted = 0
        self._digit = ""
        self._filters: dict[str, str] = {}

    def asked(self, key: str, text: str = "", *, words: tuple[str, ...] = ()) -> str:
        """Press `key`, which asks a question; the command that it shows, as `Y` copies it.

        `text` is for the blank that is to be filled in first.
        """
        self.screen.press(key)
        if text:
            self.screen.wait_for("Enter goes on")
            self.screen.type(text)
            self.screen.press("Enter")
        return self.copied(*words)

    def copied(self, *words: str) -> str:
        """The command of the question that stands on the screen, as `Y` copies it."""
        self.screen.forget_copied()
        self.screen.wait_for("$ corral", *words)
        self.screen.press("Y")
        return self.screen.until(lambda: self.screen.copied, "the command is copied")

    def answer(self, key: str) -> None:
        """Answer the question, and see it gone."""
        self.screen.press(key)
        self.screen.wait_for(gone=("Y copy",))

    def taken_back(self, *words: str) -> str:
        """Have the last act taken back; the command that did it."""
        command = self.asked("z", words=("Take back", *words))
        self.answer("y")
        return command

    def paste(self, command: str, *, asks: bool = False) -> None:
        """Into the shell, until it is done there and went well; `asks`: it wants to hear yes first."""
        self._pasted += 1
        self.screen.enter(SHELL, command)
        if asks:
            self.screen.wait_for("[y/N]", window=SHELL)
            self.screen.enter(SHELL, "y")
        self.screen.enter(SHELL, f"echo exit $? of $(({self._pasted}))")
        seen = self.screen.wait_for(f" of {self._pasted}\n", window=SHELL)
        assert f"exit 0 of {self._pasted}\n" in seen, seen

    def at(self, digit: str) -> None:
        """One of the main screens, as it is when one comes to it: keys sent before it is there are lost."""
        self._digit, crumb = digit, f" {MODES[digit]} "
        self.screen.press(digit, digit)
        self.screen.until(lambda: self._crumbs() if self._crumbs().startswith(crumb) else "", crumb)
        self.screen.wait_for(gone=(f"{crumb}› ",))

    def filtered(self, filter: str, *words: str) -> None:
        """A filter typed, in place of the one there was; a key that is no letter may be overtaken by some."""
        self.screen.press("/")
        self.screen.until(self._prompt, "the line is open")
        if self._filters.get(self._digit):
            self.screen.press("C-u")
            old = self._filters[self._digit]
            self.screen.until(lambda: "" if old in self._prompt() else "empty", "the line is empty")
        self._filters[self._digit] = filter
        self.screen.type(filter)
        self.screen.wait_for(f" / {filter}")
        self.screen.press("Enter")
        self.screen.wait_for(f"[/{filter}]", *words, gone=(f" / {filter}",))

    def _crumbs(self) -> str:
        return self.screen.screen().split("\n")[1] + " "

    def _prompt(self) -> str:
        """What stands in the line that one types into; "" where there is none."""
        bottom = self.screen.screen().splitlines()[-2:]
        return next((line for line in bottom if line.startswith(" / ") and "? help" not in line), "")


@contextmanager
def at_desk(
    cluster: LiveCluster, user: str, folder: Path, *, size: tuple[int, int] = (120, 40)
) -> Iterator[Desk]:
    """The console of `user`, and a shell in which `corral` is the same user's command."""
    corral = folder / "corral"
    corral.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tui "$@"\n')
    corral.chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONPATH": os.getcwd(),
        "CORRAL_NATS_URL": cluster.nats.url,
        "CORRAL_NATS_CREDENTIALS": str(Layout(cluster.folder).credentials(user)),
    }
    with (
        Witness(cluster, user).looking() as witness,
        in_tmux(["corral", "top"], size=size, environment=environment) as screen,
    ):
        screen.open(SHELL, ["sh", "-i"])
        screen.wait_for("LIVE", f"{user} (")
        yield Desk(screen, witness)
