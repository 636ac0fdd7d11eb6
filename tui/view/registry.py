"""Tools, task types and agents in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bus.registry import ToolEntry, ToolStats, TypeEntry, Worker
from bus.templates import keys
from tui.view.amounts import NONE
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.safe import safe_line
from tui.view.table import Column

TOOLS = (
    Column("TOOL"),
    Column("VERSION"),
    Column("CATEGORY"),
    Column("STATE"),
    Column("ON"),
    Column("TAGS", flexible=True),
    Column("DESCRIPTION", flexible=True),
)
STATS = (
    Column("TOOL"),
    *(Column(title, right=True) for title in ("CALLS", "OK", "FAILED", "LIVE")),
    *(Column(title, right=True) for title in ("P50", "P95", "OUTPUT", "FILES")),
)
TYPES = (
    Column("TYPE"),
    Column("AGENT"),
    *(Column(title, right=True) for title in ("COMPLEXITY", "EXPECTED", "SEEN", "CALLS", "FAILED")),
    Column("NEEDS", flexible=True),
    Column("TOOLS", flexible=True),
)
WORKERS = (
    Column("AGENT"),
    Column("STATUS"),
    Column("TYPES", flexible=True),
    Column("ROLES", flexible=True),
    Column("RUNS", right=True),
    Column("LOAD", right=True),
    Column("CAN", flexible=True),
)


def tool_row(tool: ToolEntry) -> tuple[str, ...]:
    return tuple(
        safe_line(cell)
        for cell in (
            tool.name,
            tool.version,
            tool.category,
            "enabled" if tool.enabled else f"disabled by {tool.disabled_by}",
            tool.node or ("every node" if tool.built_in else tool.capability or "any"),
            " ".join(tool.tags) or NONE,
            tool.description or NONE,
        )
    )


def tool_lines(tool: ToolEntry) -> list[str]:
    """A tool in full, with a call that has every key that it needs."""
    lines = [
        f"tool         {tool.name}@{tool.version}" + ("" if tool.current else "  (not the current version)"),
        f"description  {tool.description or NONE}",
        f"category     {tool.category}; type {tool.type}; tags {' '.join(tool.tags) or NONE}",
        f"state        {_state(tool)}",
        f"runs         {'built into every node' if tool.built_in else ' '.join(map(_word, tool.command))}",
        f"on           {_where(tool)}",
    ]
    if tool.file is not None:
        lines.append(f"file         {tool.file.path}  sha256 {tool.file.sha256}")
    if tool.versions:
        lines.append(f"versions     {', '.join(tool.versions)}")
    for name, schema in (("input", tool.input_schema), ("output", tool.output_schema)):
        if schema is not None:
            lines += [f"{name}:", *json.dumps(schema, indent=2, ensure_ascii=False).splitlines()]
    lines.append(f"call         {example_call(tool)}")
    return [safe_line(line) for line in lines]


def tool_head(tool: ToolEntry) -> list[Line]:
    """A tool as the console shows it first: all but its schemas, and a call to copy."""
    facts = [
        fact("tool", f"{tool.name}@{tool.version}"),
        fact("about", tool.description or NONE),
        fact("category", f"{tool.category}; type {tool.type}"),
        fact("tags", " ".join(tool.tags) or NONE),
        fact("state", _state(tool), "ok" if tool.enabled else "bad"),
        fact("runs", "built into every node" if tool.built_in else " ".join(map(_word, tool.command))),
        fact("on", _where(tool)),
        fact("versions", ", ".join(tool.versions) or NONE),
    ]
    if tool.file is not None:
        facts.append(fact("file", f"{tool.file.path}  sha256 {tool.file.sha256}"))
    facts.append(fact("call", example_call(tool)))
    return facts


def tool_schema(schema: Mapping[str, Any] | None, otherwise: str) -> list[Line]:
    """A schema as JSON; `otherwise` where there is none."""
    if schema is None:
        return [Line(otherwise, "idle")]
    return [Line(line) for line in json.dumps(schema, indent=2, ensure_ascii=False).splitlines()]


def tool_uses(stats: Sequence[ToolStats]) -> list[Line]:
    """How calls of each version went in the last 30 days."""
    if not any(each.calls or each.live for each in stats):
        return [Line("Nobody called it in the last 30 days.", "idle")]
    lines = []
    for each in stats:
        tone = "warn" if each.failed else ""
        lines += [
            fact("version", each.tool),
            fact("calls", f"{each.calls:,} over, {each.live:,} live"),
            fact("ended", f"{each.completed:,} completed, {each.failed:,} failed", tone),
            fact("took", f"p50 {_seconds(each.p50_s)}, p95 {_seconds(each.p95_s)}"),
            fact("left", f"{each.output_bytes:,} bytes of output, {each.artifacts:,} artifacts"),
            Line(""),
        ]
    return lines


def example_call(tool: ToolEntry) -> str:
    """The command line of a call, to be filled in."""
    return f"corral tool call {tool.name} --input '{json.dumps(example(tool), ensure_ascii=False)}'"


def example(tool: ToolEntry) -> dict[str, Any]:
    """An input with the keys that must be there, and values of the right kind."""
    schema = tool.input_schema or {}
    known = schema.get("properties", {})
    wanted = [*schema.get("required", ()), *sorted(keys(tool.command))]
    named = wanted or list(known)[:1]
    return {key: _value(known.get(key, {})) for key in named}


def _value(schema: object) -> Any:
    if not isinstance(schema, Mapping):
        return "…"
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    forms = schema.get("anyOf")
    if isinstance(forms, list) and forms:
        return _value(forms[0])
    kind = schema.get("type", "string")
    values: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [1, 2, 3], "object": {}}
    return values.get(kind if isinstance(kind, str) else "string", "…")


def type_row(kind: TypeEntry) -> tuple[str, ...]:
    return tuple(
        safe_line(cell)
        for cell in (
            kind.name,
            kind.agent_type,
            NONE if kind.avg_complexity is None else f"{kind.avg_complexity:.2f}",
            _seconds(kind.avg_duration_s),
            _seconds(kind.seen_s),
            f"{kind.calls:,}",
            f"{kind.failed:,}",
            " ".join(kind.required_input) or NONE,
            " ".join(kind.tools) or NONE,
        )
    )


def type_lines(kind: TypeEntry) -> list[str]:
    """A task type in full."""
    lines = [
        f"type         {kind.name}" + ("  (standard)" if kind.standard else ""),
        f"description  {kind.description}",
        f"agent        {kind.agent_type}",
        f"expected     {_seconds(kind.avg_duration_s)}; seen {_seconds(kind.seen_s)} in {kind.calls:,} calls",
        f"needs        {' '.join(kind.required_input) or NONE}",
        f"tools        {' '.join(kind.tools) or NONE}",
    ]
    if kind.input_schema is not None:
        lines += ["input:", *json.dumps(kind.input_schema, indent=2, ensure_ascii=False).splitlines()]
    return [safe_line(line) for line in lines]


def stats_row(stats: ToolStats) -> tuple[str, ...]:
    return (
        safe_line(stats.tool),
        f"{stats.calls:,}",
        f"{stats.completed:,}",
        f"{stats.failed:,}",
        f"{stats.live:,}",
        _seconds(stats.p50_s),
        _seconds(stats.p95_s),
        f"{stats.output_bytes:,} B",
        f"{stats.artifacts:,}",
    )


def worker_row(worker: Worker) -> tuple[str, ...]:
    able = [name if level >= 1 else f"{name} ({level:.0%})" for name, level in worker.capabilities.items()]
    return tuple(
        safe_line(cell)
        for cell in (
            worker.id,
            worker.status,
            " ".join(worker.types) or NONE,
            " ".join(worker.roles) or NONE,
            str(worker.running),
            f"{worker.load:.1f}",
            " ".join(able) or NONE,
        )
    )


def _state(tool: ToolEntry) -> str:
    if tool.enabled:
        return "enabled"
    by = "by the rule of its node" if tool.disabled_by == "node" else f"by {tool.disabled_by}"
    return f"disabled {by}" + (f": {tool.reason}" if tool.reason else "")


def _where(tool: ToolEntry) -> str:
    asked = tool.node or (f"nodes that can {tool.capability}" if tool.capability else "any node")
    return f"{asked}; now {', '.join(tool.nodes) or 'none'}"


def _word(word: str) -> str:
    return word if word and " " not in word else f"'{word}'"


def _seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f} s" if value < 100 else f"{value:,.0f} s"
