"""`console.toml`: what a person chose for the console. A fault in it is told, and the rest of it holds.

    theme = "corral-dark"
    detach_keys = "ctrl-p,ctrl-q"     # of terminals of tasks, here and in `corral attach`; "": none
    [keys]
    "jobs.cancel" = "X,ctrl+x"        # the ids are in the help
    [views.mine]
    mode = "jobs"
    filter = "user=me state=running"
    sort = "-age"

The console writes a theme or a view into it by changing those lines alone: comments and order stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bus.errors import CorralError
from bus.layout import profile_folder, write_secret
from tui.view.detach_keys import DEFAULT as DETACH_KEYS
from tui.view.detach_keys import EXPECTED, NotAKey, bytes_of
from tui.view.modes import MODE_DIGITS
from tui.view.words import nearest

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TABLE = re.compile(r"^\s*\[")


class View(Struct, frozen=True):
    """A list as somebody likes to look at it."""

    mode: str
    filter: str = ""
    sort: str = ""


class Settings(Struct, frozen=True):
    """`keys`: the keys of a binding, by its id. `faults`: what the file says that cannot be meant."""

    theme: str = ""
    keys: Mapping[str, str] = {}
    views: Mapping[str, View] = {}
    faults: tuple[str, ...] = ()
    detach_keys: str = DETACH_KEYS


class SettingsError(CorralError):
    """The file cannot be changed as asked."""


def settings_path() -> Path:
    """Beside the login, in the configuration folder of whoever looks."""
    return profile_folder() / "console.toml"


def read_settings(path: Path) -> Settings:
    """What the file says; without one, nothing is chosen."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        return Settings(faults=(f"{path}: {error}",))
    import tomllib  # only who has a file pays for it

    try:
        return parse_settings(text, name=path.name)
    except tomllib.TOMLDecodeError as error:
        return Settings(faults=(f"{path.name}: {error}; none of it is used",))


def parse_settings(text: str, *, name: str = "console.toml") -> Settings:
    """What holds of `text`, and what is wrong with the rest. Raises TOMLDecodeError where it is no TOML."""
    import tomllib

    tree = tomllib.loads(text)
    faults: list[str] = []

    def blame(key: str, fault: str) -> None:
        faults.append(f"{name}{_line_of(text, key)}: {fault}")

    for key in _unknown(tree, ("theme", "detach_keys", "keys", "views"), blame):
        del tree[key]
    theme = tree.get("theme", "")
    if not isinstance(theme, str):
        blame("theme", "theme is a text")
        theme = ""
    detach_keys = tree.get("detach_keys", DETACH_KEYS)
    try:
        bytes_of(detach_keys if isinstance(detach_keys, str) else "no text")
    except NotAKey as error:
        blame("detach_keys", f"detach_keys: not a key: {error}; expected {EXPECTED}")
        detach_keys = DETACH_KEYS
    keys = _texts(tree.get("keys", {}), "keys", blame)
    views: dict[str, View] = {}
    tables = tree.get("views", {})
    for view, table in tables.items() if isinstance(tables, dict) else ():
        fields = _texts(table, view, blame)
        if not _NAME.fullmatch(view):
            blame(view, f"a view's name has letters, digits, _ and - only: {view[:40]}")
        elif fields.get("mode") not in MODE_DIGITS:
            near = nearest(fields.get("mode", ""), list(MODE_DIGITS))
            blame(
                view, f"view {view}: mode is one of {', '.join(MODE_DIGITS)}" + (f"; {near}?" if near else "")
            )
        else:
            known = ("mode", "filter", "sort")
            for key in _unknown(fields, known, blame):
                del fields[key]
            views[view] = View(**fields)
    return Settings(theme, keys, views, tuple(faults), detach_keys)


def place_of(path: Path, key: str) -> str:
    """ "console.toml, line 3": where a key of the file is written."""
    try:
        return path.name + _line_of(path.read_text(), key)
    except (OSError, UnicodeDecodeError):
        return path.name


def save_theme(path: Path, theme: str) -> None:
    """Make it the theme to begin with. Raises SettingsError."""
    _change(path, lambda text: _with_theme(text, theme), lambda before: replace(before, theme=theme))


def save_view(path: Path, name: str, view: View) -> None:
    """Keep a view under its name, in the place of one that has it. Raises SettingsError."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"a view's name has letters, digits, _ and - only: {name[:40]}")
    block = f"[views.{name}]\n" + "".join(
        f"{key} = {_quoted(value)}\n"
        for key, value in (("mode", view.mode), ("filter", view.filter), ("sort", view.sort))
        if value
    )
    _change(
        path,
        lambda text: f"{_without_view(text, name).rstrip()}\n\n{block}".lstrip(),
        lambda before: replace(before, views={**before.views, name: view}),
    )


def delete_view(path: Path, name: str) -> None:
    """Forget a view. Raises SettingsError."""
    _change(
        path,
        lambda text: _without_view(text, name),
        lambda before: replace(
            before, views={key: view for key, view in before.views.items() if key != name}
        ),
    )


def _change(path: Path, edit: Callable[[str], str], expect: Callable[[Settings], Settings]) -> None:
    """Write whole or not at all, and only what reads back as it was meant: the file is edited as text."""
    import tomllib

    try:
        path = path.resolve()  # who keeps it elsewhere and links to it goes on doing so
        before = path.read_text() if path.exists() else ""
        after = edit(before)
        if replace(parse_settings(after), faults=()) != replace(expect(parse_settings(before)), faults=()):
            raise SettingsError(f"{path} is written in a way that cannot be changed here; change it by hand")
        write_secret(path, after)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot change {path}: {error}") from error


def _with_theme(text: str, theme: str) -> str:
    line = f"theme = {_quoted(theme)}"
    lines = text.removesuffix("\n").split("\n")  # TOML knows no other end of a line
    first_table = next((at for at, other in enumerate(lines) if _TABLE.match(other)), len(lines))
    for at in range(first_table):
        if re.match(r"\s*theme\s*=", lines[at]):
            lines[at] = line
            break
    else:
        lines.insert(0, line)
    return "\n".join(lines) + "\n"


def _without_view(text: str, name: str) -> str:
    head = re.compile(rf"\s*\[\s*views\s*\.\s*[\"']?{re.escape(name)}[\"']?\s*\]")
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        if _TABLE.match(line):
            inside = bool(head.match(line))
        if not inside:
            kept.append(line)
    return "\n".join(kept)


def _quoted(text: str) -> str:
    """A basic string of TOML: that of JSON, which leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(table: object, name: str, blame: Callable[[str, str], None]) -> dict[str, str]:
    if not isinstance(table, dict):
        blame(name, f"{name} is a table")
        return {}
    for key in [key for key, value in table.items() if not isinstance(value, str)]:
        blame(key, f"{key} is a text")
    return {key: value for key, value in table.items() if isinstance(value, str)}


def _unknown(
    table: Mapping[str, object], known: Sequence[str], blame: Callable[[str, str], None]
) -> Iterator[str]:
    for key in [key for key in table if key not in known]:
        near = nearest(key, known)
        blame(
            key, f"no such setting: {key[:40]}; " + (f"{near}?" if near else f"there are {', '.join(known)}")
        )
        yield key


def _line_of(text: str, key: str) -> str:
    """ ", line 3" where the key is written."""
    written = re.compile(rf"^\s*(\[.*)?[\"']?{re.escape(key)}[\"']?\s*(=|\]|\.)", re.MULTILINE)
    match = written.search(text)
    return f", line {text.count(chr(10), 0, match.start(0) + 1) + 1}" if match else ""
