"""Settings as TOML files: read only where nobody else could have written them, every key with its line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bus.errors import CorralError, Error
from bus.setting_kinds import expanded

SYSTEM_FILE = Path("/etc/corral/config.toml")
FILE_VARIABLE = "CORRAL_CONFIG"
"""Names a file that stands in for the user's; it must exist."""

FILE_BYTES_MAX = 65_536


class SettingsError(CorralError):
    """A setting cannot be used; `error.field` names file and line, variable or flag. Exit code 78."""

    def __init__(
        self, message: str, *, field: str, hint: str = "", got: str = "", expected: str = ""
    ) -> None:
        self.error = Error(
            code="E_CONFIG", message=message, field=field, hint=hint, got=got, expected=expected
        )
        super().__init__(f"{field}: {message}")


class Files(Struct, frozen=True):
    """Where the files are. `named`: somebody asked for the user's file by name, so it must exist."""

    user: Path
    system: Path = SYSTEM_FILE
    named: bool = False


class Entry(Struct, frozen=True):
    """One key as a file sets it; `private`: only the file's owner can read it."""

    key: str
    value: Any
    where: str
    private: bool


def find_files(environment: Mapping[str, str]) -> Files:
    """The user's file: $CORRAL_CONFIG, else corral/config.toml in the XDG configuration home.

    Raises SettingsError.
    """
    if named := environment.get(FILE_VARIABLE):
        try:
            return Files(expanded(named).absolute(), named=True)
        except ValueError as error:
            raise SettingsError(
                "no such file", field=FILE_VARIABLE, got=repr(named), expected=str(error)
            ) from None
    home = environment.get("XDG_CONFIG_HOME")
    base = Path(home) if home else Path(environment.get("HOME") or "/") / ".config"
    return Files(base / "corral" / "config.toml")


def read_file(path: Path, keys: Collection[str], *, required: bool, public: bool) -> list[Entry]:
    """What a file sets, in its order; nothing where there is none, unless it is `required`.

    A `public` file that cannot be read is passed over: it holds what only the system's own processes may
    know. A table under one of `keys` is that key's value. Raises SettingsError.
    """
    try:
        text, private = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return []
        hint = f"{FILE_VARIABLE} names it; corral config path shows where files are looked for"
        raise SettingsError("no such file", field=str(path), hint=hint) from None
    except PermissionError:
        if public:
            return []
        raise SettingsError("cannot be read", field=str(path), hint=f"chmod 600 {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", field=str(path)) from error
    import tomllib  # only who has a file pays for it

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _place_in(str(error), text)
        raise SettingsError(f"not TOML: {message}", field=f"{path}:{line}") from None
    return [
        Entry(key, value, f"{path}:{line_of(text, key, keys)}", private)
        for key, value in _flatten(document, keys)
    ]


def line_of(text: str, key: str, keys: Collection[str] = ()) -> int:
    """The line on which the statement that sets `key` begins, counted from 1.

    The parser keeps no positions, so it is asked how many lines it needs until the key is there.
    """
    import tomllib

    lines = text.splitlines(keepends=True)
    begin = 1
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        if any(found == key for found, _ in _flatten(document, keys)):
            break
        begin = count + 1
    return begin


def _read(path: Path) -> tuple[str, bool]:
    """The text of a file that nobody else could have written, and whether others cannot read it."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError("not a file", field=str(path))
        if status.st_mode & stat.S_IWOTH:
            raise SettingsError("anybody could have written it", field=str(path), hint=f"chmod o-w {path}")
        if status.st_uid not in (0, os.geteuid()):
            hint = "make it your own, or root's"
            raise SettingsError("belongs to somebody else", field=str(path), hint=hint)
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError(f"longer than {FILE_BYTES_MAX} bytes", field=str(path))
    return data.decode(), not status.st_mode & (stat.S_IRGRP | stat.S_IROTH)


def _flatten(table: Mapping[str, Any], keys: Collection[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in keys:
            yield from _flatten(value, keys, key + ".")
        else:
            yield key, value


def _place_in(message: str, text: str) -> tuple[str, int]:
    """The parser's message without its place, and the line of that."""
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if place is None:
        return message, 1
    return message[: place.start()], int(place[1]) if place[1] else max(1, len(text.splitlines()))
