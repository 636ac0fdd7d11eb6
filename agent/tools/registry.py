"""Which tools a node has, and how one is run inside a process of its own.

A tool is a function `(input, needs) -> output` of JSON objects; `needs` yields the outputs of the tasks
that this one needs, read one at a time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from agent.tools.code_analysis import code_analysis
from agent.tools.data_analysis import data_analysis
from agent.tools.data_processing import data_processing
from agent.tools.data_visualization import data_visualization
from agent.tools.text_analysis import text_analysis
from agent.tools.wordcount import wordcount, wordcount_merge

JsonObject = dict[str, Any]
Tool = Callable[[JsonObject, Iterable[JsonObject]], JsonObject]

# All are loaded before the guard forks: the tasks' account may not be able to read Python's own files.
TOOLS: dict[str, Tool] = {
    "wordcount": wordcount,
    "wordcount_merge": wordcount_merge,
    "text_analysis": text_analysis,
    "code_analysis": code_analysis,
    "data_processing": data_processing,
    "data_analysis": data_analysis,
    "data_visualization": data_visualization,
}


def run_tool(name: str) -> int:
    """Run a tool on CORRAL_INPUT, leave its answer in CORRAL_OUTPUT; returns the exit code.

    A fault of the input or of a file ends with 1 and one line on stderr, a bug of the tool with 70 and
    its traceback.
    """
    try:
        with open(os.environ["CORRAL_INPUT"], "rb") as file:
            given = json.load(file)
        output = TOOLS[name](given["input"], _outputs(given["needs"]))
        text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
        with open(os.environ["CORRAL_OUTPUT"], "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return _flushed(1)
    except Exception:  # noqa: BLE001 - the tool's outermost frame: its bug is shown to its owner
        sys.excepthook(*sys.exc_info())
        return _flushed(70)
    return _flushed(0)


def _outputs(groups: dict[str, list[str]]) -> Iterator[JsonObject]:
    for paths in groups.values():
        for path in paths:
            with open(path, "rb") as file:
                yield cast(JsonObject, json.load(file))


def _flushed(code: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return code
