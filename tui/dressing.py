"""What a person chose for the console, put into effect: colours, keys and saved views."""

from __future__ import annotations

from pathlib import Path

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from tui.keys import known_keys
from tui.settings import Settings, SettingsError, place_of, read_settings, save_theme
from tui.theme.palettes import DARK, MONO, THEMES
from tui.view.safe import safe_line
from tui.view.words import nearest

FAULTS_S = 20.0


class Dressed(App[None]):
    """`settings_path` is where the settings are kept; without one, nothing is read or kept."""

    def __init__(self, *, settings_path: Path | None = None) -> None:
        super().__init__()
        self._path = settings_path
        self._is_colourless = self.no_color
        self._clashed: set[str] = set()
        self.settings = Settings() if settings_path is None else read_settings(settings_path)
        for theme in THEMES.values():
            self.register_theme(theme)
        self._begin_in(self._theme_wanted()[0])

    @property
    def settings_path(self) -> Path:
        """Where the settings are kept. Raises SettingsError where they are not."""
        if self._path is None:
            raise SettingsError("this console keeps no settings")
        return self._path

    def on_mount(self) -> None:
        """Put the keys into effect, and say what is wrong with the settings."""
        self._put_on()

    def wear_settings(self) -> None:
        """Read what was chosen and put it into effect; what is wrong with it is said once."""
        if self._path is not None:
            self.settings = read_settings(self._path)
        self._put_on()

    def _put_on(self) -> None:
        theme, faults = self._theme_wanted()
        self._wear(theme)
        keys, wrong = known_keys(self.settings.keys)
        self.set_keymap(keys)
        told = [f"{place_of(self.settings_path, fault.id)}: {fault.said}" for fault in wrong]
        if faults := [*self.settings.faults, *faults, *told]:
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

    def _theme_wanted(self) -> tuple[str, list[str]]:
        """The theme that is chosen, or that suits the terminal; and what is wrong with the choice."""
        theme = self.settings.theme or (MONO.name if self._is_colourless else DARK.name)
        if theme in THEMES:
            return theme, []
        near = nearest(theme, list(THEMES))
        return DARK.name, [f"theme: there is no {theme}; " + (f"{near}?" if near else ", ".join(THEMES))]

    def _begin_in(self, theme: str) -> None:
        """Before anything is styled: a theme that comes later has every style parsed and applied again."""
        self.no_color = self._is_colourless or theme == MONO.name
        self.set_reactive(App.theme, theme)
        self.stylesheet.set_variables(self.get_css_variables())
        is_dark = self.current_theme.dark
        self.set_class(is_dark, "-dark-mode", update=False)
        self.set_class(not is_dark, "-light-mode", update=False)

    def _load_screen_css(self, screen: Screen[object]) -> None:
        """A new screen is styled as it is mounted: to say so spares it, and the one before, another time."""
        super()._load_screen_css(screen)
        if screen._css_update_count < 0:
            screen._css_update_count = self._css_update_count

    def _wear(self, theme: str) -> None:
        # the styles for eyes without colours are those for a theme without them
        self.no_color = self._is_colourless or theme == MONO.name
        self.theme = theme
