"""What a person chose for the console, put into effect: colours, keys and saved views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys
from textual.widget import Widget

from tui.settings import Settings, SettingsError, read_settings, save_theme
from tui.theme.palettes import DARK, MONO, THEMES
from tui.view.safe import safe_line
from tui.view.words import nearest

FAULTS_S = 20.0
_KEYS = frozenset(key.value for key in Keys)
_MODIFIERS = frozenset({"ctrl", "shift", "alt", "meta", "super", "hyper"})


class Dressed(App[None]):
    """`settings_path` is where the settings are kept; without one, nothing is read or kept."""

    def __init__(self, *, settings_path: Path | None = None) -> None:
        super().__init__()
        self._path = settings_path
        self._is_colourless = self.no_color
        self._clashed: set[str] = set()
        self.settings = Settings()
        for theme in THEMES.values():
            self.register_theme(theme)

    @property
    def settings_path(self) -> Path:
        """Where the settings are kept. Raises SettingsError where they are not."""
        if self._path is None:
            raise SettingsError("this console keeps no settings")
        return self._path

    def on_mount(self) -> None:
        """Take what was chosen before the first picture."""
        self.wear_settings()

    def wear_settings(self) -> None:
        """Read what was chosen and put it into effect; what is wrong with it is said once."""
        if self._path is None:
            self._wear(MONO.name if self._is_colourless else DARK.name)
            return
        self.settings = read_settings(self._path)
        faults = [*self.settings.faults]
        theme = self.settings.theme or (MONO.name if self._is_colourless else DARK.name)
        if theme not in THEMES:
            near = nearest(theme, list(THEMES))
            faults.append(f"theme: there is no {theme}; " + (f"{near}?" if near else ", ".join(THEMES)))
            theme = DARK.name
        self._wear(theme)
        keys, wrong = known_keys(self.settings.keys)
        self.set_keymap(keys)
        if faults := [*faults, *wrong]:
            more = f"  (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            self.notify(
                safe_line(faults[0]) + more,
                severity="error",
                markup=False,
                timeout=FAULTS_S,
                title="settings",
            )

    def choose_theme(self, name: str) -> None:
        """Other colours, now and from now on."""
        self._wear(name)
        if self._path is not None:
            save_theme(self._path, name)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Two wishes for one key: said once for each."""
        for binding in clashed_bindings:
            if binding.id and binding.id not in self._clashed:
                self._clashed.add(binding.id)
                said = f"keys: {safe_line(binding.key)} is wanted by something else and by {binding.id}"
                self.notify(said, severity="warning", markup=False, timeout=FAULTS_S, title="settings")

    def _wear(self, theme: str) -> None:
        # the styles for eyes without colours are those for a theme without them
        self.no_color = self._is_colourless or theme == MONO.name
        self.theme = theme


def known_keys(keys: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The wishes that can be met, and what is wrong with the others."""
    ids = binding_ids()
    met, wrong = {}, []
    for id, wish in keys.items():
        odd = [key for key in wish.split(",") if not _is_key(key.strip())]
        if id not in ids:
            near = nearest(id, sorted(ids))
            wrong.append(f"keys: nothing is called {id[:60]}" + (f"; {near}?" if near else ""))
        elif odd:
            wrong.append(f"keys: {id}: no such key: {odd[0][:40] or 'none'}; such as x, X, ctrl+x, f5, space")
        else:
            met[id] = ",".join(key.strip() for key in wish.split(","))
    return met, wrong


def binding_ids() -> set[str]:
    """Of all screens and widgets of ours that were loaded."""
    found: set[str] = set()
    waiting: list[type[DOMNode]] = [App, Widget]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        for binding in vars(kind).get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id and kind.__module__.startswith("tui."):
                found.add(binding.id)
    return found


def _is_key(key: str) -> bool:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    return _MODIFIERS.issuperset(modifiers) and (last in _KEYS or (len(last) == 1 and last.isprintable()))
