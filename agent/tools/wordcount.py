r"""Counting words: one task a file, and one that adds the counts up.

A word is a match of `\w+` in the lower-cased text, as Python's `re` sees Unicode; bytes that are no
UTF-8 are replaced first. So the counts equal `Counter(re.findall(r"\w+", text.lower()))`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"\w+")


def wordcount(given: dict[str, object], needs: Iterable[dict[str, object]]) -> dict[str, object]:
    """{"item": path} or {"text": …} → {"words": total, "counts": {word: n}}."""
    del needs
    counts: Counter[str] = Counter()
    match given:
        case {"text": str(text)}:
            counts.update(_WORD.findall(text.lower()))
        case {"item": str(path)}:
            # Line by line: no word crosses a line, and no file is too long.
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    counts.update(_WORD.findall(line.lower()))
        case _:
            raise ValueError('the input must be {"item": "<path>"} or {"text": "…"}')
    return _answer(counts)


def wordcount_merge(given: dict[str, object], needs: Iterable[dict[str, object]]) -> dict[str, object]:
    """Adds the outputs of the needed wordcount tasks up; the answer has the same form."""
    del given
    counts: Counter[str] = Counter()
    for output in needs:
        match output:
            case {"counts": dict(part)}:
                counts.update(part)
            case _:
                raise ValueError("a needed output is no word count")
    return _answer(counts)


def _answer(counts: Counter[str]) -> dict[str, object]:
    return {"words": counts.total(), "counts": dict(counts.most_common())}
