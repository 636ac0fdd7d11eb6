"""What the list of tools shows: what nodes have, with what is registered of it; and how it is searched."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bus.equipment import Tool, ToolKind
from bus.registry import ToolEntry, ToolSearch
from tui.view.amounts import NONE
from tui.view.equipment import column, on_nodes, tool_facts
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.listings import Listing
from tui.view.words import WordError, nearest

_KEYS = {"tag": "tag", "category": "category", "input": "input_property", "output": "output_property"}


class Offered(Struct, frozen=True, kw_only=True):
    """Something that tasks can have; `entry`: of a tool that is registered."""

    tool: Tool
    entry: ToolEntry | None = None

    @property
    def is_called(self) -> bool:
        """Whether it can be called by name."""
        return self.entry is not None and self.entry.enabled


class Search(Struct, frozen=True, kw_only=True):
    """`asked` of the registry; `kind` "": of all kinds. `narrowed`: only what is registered can match."""

    asked: ToolSearch
    kind: str = ""

    @property
    def narrowed(self) -> bool:
        asked = self.asked
        return bool(asked.tag or asked.category or asked.input_property or asked.output_property)


def search_of(text: str) -> Search:
    """ "tag=text counts": words are looked for in names and descriptions. Raises WordError."""
    asked, kind = ToolSearch(), ""
    words: list[str] = []
    try:
        typed = shlex.split(text)
    except ValueError as error:
        raise WordError(str(error).lower()) from error
    for word in typed:
        key, equals, value = word.partition("=")
        if not equals:
            words.append(word)
        elif key == "kind":
            if value not in list(ToolKind):
                raise WordError(f"kind is one of {', '.join(ToolKind)}, not {value[:40] or 'nothing'}")
            kind = value
        elif key not in _KEYS:
            near = nearest(key, [*_KEYS, "kind"])
            known = f"{near}?" if near else f"there are {', '.join([*_KEYS, 'kind'])}"
            raise WordError(f"no such word of a search: {key[:40]}; {known}")
        elif not value:
            raise WordError(f"{key}= of what?")
        else:
            asked = replace(asked, **{_KEYS[key]: value})
    return Search(asked=replace(asked, text=" ".join(words)), kind=kind)


def offered(tools: Sequence[Tool], entries: Sequence[ToolEntry], search: Search) -> list[Offered]:
    """What matches, what one calls first; `entries` are those that the registry found by the search."""
    return [row for row in _joined(tools, entries, search) if search.kind in ("", str(row.tool.kind))]


def _joined(tools: Sequence[Tool], entries: Sequence[ToolEntry], search: Search) -> Iterator[Offered]:
    kinds = list(ToolKind)
    by_name = {entry.name: entry for entry in entries}
    words = search.asked.text.casefold()
    for tool in sorted(tools, key=lambda each: kinds.index(each.kind)):
        entry = by_name.get(tool.name) if tool.kind is ToolKind.TOOL else None
        if entry is not None or (not search.narrowed and words in tool.name.casefold()):
            yield Offered(tool=tool, entry=entry)


def offered_tone(row: Offered) -> str:
    """Nobody who could run it is bad where it is wanted; one that is disabled is off."""
    if row.entry is not None and not row.entry.enabled:
        return "idle"
    return "ok" if row.tool.ready else "bad" if row.tool.tasks else "warn"


def _mark(row: Offered) -> str:
    return {"idle": "⊘", "ok": "●"}.get(offered_tone(row), "✖")


def _versions(row: Offered) -> str:
    """What nodes have; of a tool the version that a call means."""
    return row.entry.version if row.entry is not None else ", ".join(row.tool.versions) or NONE


def _tags(row: Offered) -> str:
    return " ".join(row.entry.tags) if row.entry is not None and row.entry.tags else NONE


OFFERED: Listing[Offered] = Listing(
    noun="tools",
    columns=(
        column("kind", "KIND", lambda each, _: str(each.tool.kind), priority=1),
        column("mark", "S", lambda each, _: _mark(each), tinted=True, most=1),
        column("name", "NAME", lambda each, _: each.tool.name, most=50, least=10),
        column("ready", "READY", lambda each, _: f"{each.tool.ready}/{each.tool.nodes}", right=True,
                tinted=True),
        column("tasks", "TASKS", lambda each, _: str(each.tool.tasks or NONE), priority=2, right=True),
        column("tags", "TAGS", lambda each, _: _tags(each), priority=2, most=40, least=6),
        column("versions", "VERSIONS", lambda each, _: _versions(each), priority=3),
        column("category", "CATEGORY", lambda each, _: "" if each.entry is None else each.entry.category,
                priority=5),
        column("nodes", "ON", lambda each, _: on_nodes(each.tool), priority=4, most=60, least=8),
    ),
    key=lambda each: offer_key(each.tool.kind, each.tool.name),
    tone=offered_tone,
)  # fmt: skip


def offer_key(kind: ToolKind, name: str) -> str:
    """How a row is known."""
    return f"{kind} {name}"


def offered_facts(row: Offered) -> list[Line]:
    """It in full, with what is registered of it."""
    lines, entry = tool_facts(row.tool), row.entry
    if entry is None:
        return lines
    state = (
        "enabled" if entry.enabled else f"disabled by {entry.disabled_by}: {entry.reason or 'no word why'}"
    )
    return [
        *lines,
        fact("about", entry.description or NONE),
        fact("category", entry.category),
        fact("tags", " ".join(entry.tags) or NONE),
        fact("state", state, "ok" if entry.enabled else "bad"),
    ]
