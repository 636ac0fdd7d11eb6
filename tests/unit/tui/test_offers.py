"""Screen 9: what nodes have and what is registered in one list, and its search."""

from __future__ import annotations

import pytest

from bus.equipment import Tool, ToolKind
from bus.registry import ToolEntry
from tui.client.fake_kept import RENDER
from tui.view.offers import OFFERED, offered, offered_facts, offered_tone, search_of
from tui.view.words import WordError

TOOLS = [
    Tool(name="H100", kind=ToolKind.GPU, nodes=2, ready=1),
    Tool(name="podman", kind=ToolKind.RUNTIME, nodes=2, ready=2, versions=["5.0"]),
    Tool(name="blender", kind=ToolKind.TOOL, nodes=3, ready=2, tasks=4),
    Tool(name="gone", kind=ToolKind.TOOL, nodes=0, ready=0, tasks=1),
]
OFF = ToolEntry(
    name="blender", version="4.2.0", current=True, description="", category="processing", type="tool",
    enabled=False, disabled_by="ann", reason="licence",
)  # fmt: skip


def names(text: str, entries: list[ToolEntry]) -> list[str]:
    return [row.tool.name for row in offered(TOOLS, entries, search_of(text))]


def test_what_one_calls_stands_first_with_its_tags() -> None:
    rows = offered(TOOLS, [RENDER], search_of(""))
    assert [row.tool.name for row in rows] == ["blender", "gone", "podman", "H100"]
    cells = {column.field.name: column.field.cell(rows[0], 0.0) for column in OFFERED.columns}
    assert cells["tags"] == "video render" and cells["versions"] == "4.2.0" and cells["mark"] == "●"
    assert [offered_tone(row) for row in rows] == ["ok", "bad", "ok", "ok"]


def test_a_search_for_what_is_registered_shows_nothing_else() -> None:
    assert names("tag=video", [RENDER]) == ["blender"]
    assert names("input=scene", [RENDER]) == ["blender"]
    assert names("man", []) == ["podman"]
    assert names("kind=gpu", [RENDER]) == ["H100"]
    search = search_of('"two words" category=analysis output=n')
    assert search.asked.text == "two words" and search.asked.category == "analysis"
    assert search.asked.output_property == "n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tags=x", "no such word of a search: tags; tag?"),
        ("zzzz=x", "there are tag, category, input, output, kind"),
        ("tag=", "tag= of what?"),
        ("kind=disk", "kind is one of tool, runtime, isolation, gpu, not disk"),
        ('"open', "no closing quotation"),
    ],
)
def test_what_cannot_be_searched_for_says_what_can(text: str, said: str) -> None:
    with pytest.raises(WordError, match=said.replace("?", r"\?")):
        search_of(text)


def test_one_that_is_disabled_says_by_whom() -> None:
    (row,) = offered(TOOLS, [OFF], search_of("blender"))
    assert offered_tone(row) == "idle" and not row.is_called
    assert any("disabled by ann: licence" in line.text for line in offered_facts(row))
