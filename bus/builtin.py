"""The tools that every node has built in, as the registry shows them: what each takes and gives.

Agents hold the functions (`agent/tools`), the coordinator lists these beside the tools that people register.
A version is immutable: what changes the meaning of an input or output becomes a new one.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Json = dict[str, Any]

_TEXT: Json = {"type": "string", "minLength": 1}
_COUNT: Json = {"type": "integer", "minimum": 0}
_DATA: Json = {
    "description": "numbers, rows, columns of one length, or the path of a .csv or .json file on the node",
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"type": ["number", "null"]}},
        {"type": "array", "minItems": 1, "items": {"type": "object"}},
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array"}},
        {"type": "string", "minLength": 1},
    ],
}
_COLUMNS: Json = {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "maxItems": 8, "items": _TEXT}]}


class BuiltIn(Struct, frozen=True, kw_only=True):
    """One tool. `type`: its task type. `merge`: the tool that joins its outputs over a list of items."""

    name: str
    description: str
    category: str
    tags: tuple[str, ...]
    type: str
    input: Json
    output: Json
    merge: str | None = None
    version: str = "1.0.0"


def _object(properties: Json, *, required: tuple[str, ...] = (), closed: bool = True) -> Json:
    schema: Json = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    if closed:
        schema["additionalProperties"] = False
    return schema


_WORD_COUNTS = _object(
    {
        "words": _COUNT,
        "counts": {"type": "object"},
    },
    required=("words", "counts"),
)

BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(
        name="wordcount",
        description="Counts the words of a text or file; over a list of files one task each, and a merge",
        category="analysis",
        tags=("text", "map-reduce"),
        type="wordcount",
        input=_object({"text": {"type": "string"}, "item": _TEXT}) | {"minProperties": 1},
        output=_WORD_COUNTS,
        merge="wordcount_merge",
    ),
    BuiltIn(
        name="wordcount_merge",
        description="Adds the word counts of the tasks that it needs up",
        category="analysis",
        tags=("text", "map-reduce"),
        type="wordcount",
        input={"type": "object"},
        output=_WORD_COUNTS,
    ),
    BuiltIn(
        name="text_analysis",
        description="Characters, words, sentences, scripts and keywords of a text; no sentiment, no entities",
        category="analysis",
        tags=("text", "nlp", "statistics"),
        type="text_analysis",
        input=_object(
            {
                "text": _TEXT | {"maxLength": 1_000_000},
                "keywords": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
            },
            required=("text",),
        ),
        output=_object(
            {"characters": _COUNT, "words": _COUNT, "keywords": {"type": "array"}},
            required=("characters", "words", "keywords"),
            closed=False,
        ),
    ),
    BuiltIn(
        name="code_analysis",
        description="Functions, complexity, imports and faults of Python code, from its text alone",
        category="analysis",
        tags=("code", "python", "quality"),
        type="code_analysis",
        input=_object(
            {"code": {"type": "string"}, "language": {"enum": ["python"], "default": "python"}},
            required=("code",),
        ),
        output=_object(
            {"valid": {"type": "boolean"}, "functions": {"type": "array"}, "findings": {"type": "array"}},
            required=("valid", "functions", "findings"),
            closed=False,
        ),
    ),
    BuiltIn(
        name="data_processing",
        description="Fills or drops gaps, removes outliers and duplicates, normalises, sorts, selects",
        category="processing",
        tags=("data", "cleaning"),
        type="data_processing",
        input=_object(
            {
                "data": _DATA,
                "steps": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 100,
                    "default": [{"op": "drop_gaps"}, {"op": "deduplicate"}],
                    "items": {
                        "type": "object",
                        "required": ["op"],
                        "properties": {
                            "op": {
                                "enum": [
                                    "fill",
                                    "drop_gaps",
                                    "deduplicate",
                                    "remove_outliers",
                                    "normalise",
                                    "sort",
                                    "select",
                                    "round",
                                ]
                            }
                        },
                    },
                },
            },
            required=("data",),
        ),
        output=_object(
            {"rows": _COUNT, "removed": _COUNT, "steps": {"type": "array"}},
            required=("data", "rows", "removed", "steps"),
            closed=False,
        ),
    ),
    BuiltIn(
        name="data_analysis",
        description="Statistics of each column, correlation of the numeric ones, the same by groups",
        category="analysis",
        tags=("data", "statistics"),
        type="data_analysis",
        input=_object(
            {"data": _DATA, "group_by": _TEXT, "correlation": {"type": "boolean", "default": True}},
            required=("data",),
        ),
        output=_object(
            {"rows": _COUNT, "columns": {"type": "object"}}, required=("rows", "columns"), closed=False
        ),
    ),
    BuiltIn(
        name="data_visualization",
        description="A plot of data as an SVG file: bars, lines, points or a histogram",
        category="processing",
        tags=("data", "plot"),
        type="data_visualization",
        input=_object(
            {
                "data": _DATA,
                "kind": {"enum": ["bar", "line", "scatter", "histogram"], "default": "line"},
                "x": _TEXT,
                "y": _COLUMNS,
                "title": {"type": "string", "maxLength": 200},
                "bins": {"type": "integer", "minimum": 1, "maximum": 500},
                "width": {"type": "integer", "minimum": 160, "maximum": 4096, "default": 640},
                "height": {"type": "integer", "minimum": 160, "maximum": 4096, "default": 400},
            },
            required=("data",),
        ),
        output=_object(
            {"file": _TEXT, "bytes": _COUNT, "sha256": {"type": "string"}},
            required=("file", "bytes", "sha256"),
            closed=False,
        ),
    ),
)
