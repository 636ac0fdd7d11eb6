"""What the commands of registered tools need: their placeholders filled in, and their file unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping

from agent.guard import wire
from agent.guard.starting import CannotStart
from agent.guard.wire import Item
from bus.templates import TemplateError, render

FILE_BYTES_MAX = 1024**3
_KEPT = 256
_CHUNK = 1024 * 1024


def filled(item: Item, argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
    """The command of one task. Raises CannotStart, as for a command that cannot be run."""
    values = {"input": env["CORRAL_INPUT"], "output": env["CORRAL_OUTPUT"], "workdir": env["HOME"]}
    if item.item is not None:
        values["item"] = item.item
    if item.array_index is not None:
        values["index"] = str(item.array_index)
    try:
        given = json.loads(item.input) if item.input else {}
        return render(argv, values, given if isinstance(given, dict) else {})
    except (TemplateError, ValueError, RecursionError) as error:
        raise CannotStart(wire.NOT_EXECUTABLE, f"E_INPUT: {error}", 126) from error


class Pins:
    """Remembers which files had which content, by all that changes with it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int, int], str] = {}

    def check(self, path: str, sha256: str) -> None:
        """Raises CannotStart where the file is not the one that was registered."""
        try:
            found = self._digest(path)
        except OSError as error:
            message = f"E_HASH: {path}: {error.strerror}"
            raise CannotStart(wire.NOT_EXECUTABLE, message, 126) from error
        if found != sha256:
            message = f"E_HASH: {path} is not the file that was registered: {found[:12]}…, not {sha256[:12]}…"
            raise CannotStart(wire.NOT_EXECUTABLE, message, 126)

    def _digest(self, path: str) -> str:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > FILE_BYTES_MAX:
                message = f"E_HASH: {path} is no plain file of at most 1 GiB"
                raise CannotStart(wire.NOT_EXECUTABLE, message, 126)
            key = (path, seen.st_dev, seen.st_ino, seen.st_size, seen.st_ctime_ns)
            if key not in self._known:
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                if len(self._known) >= _KEPT:
                    del self._known[next(iter(self._known))]
                self._known[key] = digest.hexdigest()
            return self._known[key]
