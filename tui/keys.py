"""Keys as somebody wants them: which of these wishes can be met, and which stand in each other's way.

Two actions clash where both would take one key on the same screen: its own, those of the list or page on
it, and the console's. What hides what without anybody's wish is meant so, and no clash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, _character_to_key
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from tui.loading import at_once
from tui.view.words import nearest

_KEYS = frozenset(key.value for key in Keys)
_MODIFIERS = frozenset({"ctrl", "shift", "alt", "meta", "super", "hyper"})


class Fault(Struct, frozen=True):
    """What is wrong with the wish for an action."""

    id: str
    said: str


def known_keys(wishes: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """The wishes that can be met, and what is wrong with the others: for that, every screen is read."""
    if not wishes:
        return {}, []
    at_once()
    ids = binding_ids()
    met: dict[str, str] = {}
    wrong: list[Fault] = []
    for id, wish in wishes.items():
        odd = [key for key in wish.split(",") if not _is_key(key.strip())]
        if id not in ids:
            near = nearest(id, sorted(ids))
            wrong.append(Fault(id, f"nothing is called {id[:60]}" + (f"; {near}?" if near else "")))
        elif odd:
            said = f"{id}: no such key: {odd[0][:40] or 'none'}; such as x, X, ctrl+x, f5, space"
            wrong.append(Fault(id, said))
        else:
            met[id] = ",".join(key.strip() for key in wish.split(","))
    for key, clashing in clashes(met):
        mine = next((id for id in met if id in clashing), "")
        if not mine:
            continue  # its wish was given up for another clash
        others = " and ".join(sorted(clashing - {mine}))
        wrong.append(Fault(mine, f"{key} is wanted by {mine} and by {others}; these keep their own keys"))
        met = {id: wish for id, wish in met.items() if id not in clashing}
    return met, wrong


def clashes(wishes: Mapping[str, str]) -> list[tuple[str, frozenset[str]]]:
    """(key, the actions that would take it) for each key that somebody's wish gives to more than one."""
    found: dict[tuple[str, frozenset[str]], None] = {}
    for own in _contexts():
        takers: dict[str, set[str]] = {}
        for id, keys in own.items():
            for key in _keys_of(wishes[id]) if id in wishes else keys:
                takers.setdefault(key, set()).add(id)
        for key, ids in takers.items():
            if len(ids) > 1 and any(id in wishes and key not in own[id] for id in ids):
                found[key, frozenset(ids)] = None
    return list(found)


def binding_ids() -> set[str]:
    """Of all screens and widgets of ours that were loaded."""
    return {binding.id for kind in _kinds() for binding in _bindings(kind) if binding.id}


def _contexts() -> Iterator[dict[str, set[str]]]:
    """Of each place where keys are pressed: its actions, with the keys that they have there by themselves."""
    from tui.screens.document import DocumentScreen
    from tui.screens.listing import ListScreen
    from tui.screens.reading import ReadingScreen
    from tui.widgets.virtual_log import VirtualLog
    from tui.widgets.virtual_table import VirtualTable

    console = [kind for kind in _kinds() if issubclass(kind, App)]
    for kind in _kinds():
        if not issubclass(kind, Screen):
            continue
        layers: list[type[DOMNode]] = [kind]
        if issubclass(kind, ListScreen):
            layers.insert(0, VirtualTable)
        elif issubclass(kind, DocumentScreen | ReadingScreen):
            layers.insert(0, VirtualLog)
        yield _taken(layers if issubclass(kind, ModalScreen) else [*layers, *console])


def _taken(layers: Iterable[type[DOMNode]]) -> dict[str, set[str]]:
    """By action; what a class takes is hidden from those it derives from."""
    taken: dict[str, set[str]] = {}
    for layer in layers:
        hidden: set[str] = set()
        for kind in layer.__mro__:
            bindings = list(_bindings(kind))
            for binding in bindings:
                if binding.id and (keys := _keys_of(binding.key) - hidden):
                    taken.setdefault(binding.id, set()).update(keys)
            hidden |= {key for binding in bindings for key in _keys_of(binding.key)}
    return taken


def _kinds() -> list[type[DOMNode]]:
    """Our applications, screens and widgets."""
    found: dict[type[DOMNode], None] = {}
    waiting: list[type[DOMNode]] = [App, Widget]
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            waiting.extend(kind.__subclasses__())
            found[kind] = None
    return [kind for kind in found if kind.__module__.startswith("tui.")]


def _bindings(kind: type) -> Iterator[Binding]:
    if kind.__module__.startswith("tui."):
        yield from (each for each in vars(kind).get("BINDINGS", ()) if isinstance(each, Binding))


def _keys_of(keys: str) -> set[str]:
    """One by one, a sign by its name: "?" is "question_mark"."""
    return {_character_to_key(key) if len(key) == 1 else key for key in map(str.strip, keys.split(","))}


def _is_key(key: str) -> bool:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    return _MODIFIERS.issuperset(modifiers) and (last in _KEYS or (len(last) == 1 and last.isprintable()))
