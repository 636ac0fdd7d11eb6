"""The codes of registered tools, their schemas and what they leave. Part of `bus.codes`."""

from __future__ import annotations

from bus.code import Code

TOOL_CODES: dict[str, Code] = {
    "E_SCHEMA": Code(
        "not a schema that can be used",
        "Schemas are JSON Schema 2020-12 of at most 64 KiB and 24 levels; references stay within the schema,"
        " patterns are of the kind that takes linear time (RE2: no look-around, no back-references).",
        "the message names the place; docs/guides/tools.md has examples",
    ),
    "E_OUTPUT": Code(
        "an output that its tool's schema does not allow",
        "The task ended with 0, and what it left is not what its tool promises: the task has failed.",
        "mend the tool, and register it as a new version; corral tool show has its schema",
        422,
        1,
    ),
    "E_TOOL_DISABLED": Code(
        "the tool is disabled",
        "An operator disabled it, or the only node that it runs on takes no work.",
        "corral tool show NAME says who and why; corral tool enable NAME",
        409,
        6,
    ),
}
