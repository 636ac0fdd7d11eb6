"""Which part of a line is painted how: its label, the colours it brought along, and what was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from tui.view.inks import Ink
from tui.view.lines import Line


class Run(Struct, frozen=True):
    """The characters [begin, end) of a line look alike."""

    begin: int
    end: int
    ink: Ink | None = None
    is_label: bool = False
    is_found: bool = False


def needle_spans(text: str, needle: str) -> list[tuple[int, int]]:
    """Every place in a line of the words of a pattern, in any case; none where they are not all there."""
    words = [word for word in needle.casefold().split("*") if word]
    folded = text.casefold()
    if not words or len(folded) != len(text):  # "ß" folds to two letters: places would not match
        return []
    at = 0
    for word in words:
        if (found := folded.find(word, at)) < 0:
            return []
        at = found + len(word)
    spans: list[tuple[int, int]] = []
    for word in words:
        at = 0
        while (found := folded.find(word, at)) >= 0:
            at = found + len(word)
            spans.append((found, at))
    return spans


def runs_of(line: Line, found: Sequence[tuple[int, int]], *, begin: int, end: int) -> list[Run]:
    """The runs of [begin, end) of a line's text, in order, without a gap; in one pass, whatever it holds."""
    edges = {begin, end, line.label_chars}
    edges.update(edge for ink in line.inks for edge in (ink.begin, ink.end))
    edges.update(edge for span in found for edge in span)
    inside = sorted(edge for edge in edges if begin <= edge <= end)
    spans, inks = sorted(found), list(line.inks)
    runs, span, ink, marked_to = [], 0, 0, 0
    for start, stop in pairwise(inside):
        while ink < len(inks) and inks[ink].end <= start:
            ink += 1
        while span < len(spans) and spans[span][0] <= start:
            marked_to = max(marked_to, spans[span][1])
            span += 1
        worn = inks[ink] if ink < len(inks) and inks[ink].begin <= start else None
        runs.append(Run(start, stop, worn, start < line.label_chars, start < marked_to))
    return runs
