"""How well a name answers what was typed: its letters in order, near to each other, at the start of words.

A letter counts 1, at the start of a word 4, right behind the one before 3; each letter left out
between two costs 0.2, and short names come before long.
"""

from __future__ import annotations

from functools import lru_cache

WORD_START, NEIGHBOUR, LETTER, GAP = 4.0, 3.0, 1.0, 0.2
NAME_MAX = 120


@lru_cache(8_192)
def fuzzy_match(typed: str, name: str) -> tuple[float, tuple[int, ...]] | None:
    """(score, places of the letters), the best there is; None where a letter is missing. Case is all one."""
    wanted = typed.casefold().replace(" ", "")
    name = name[:NAME_MAX]
    folded = [sign.casefold() for sign in name]
    best: dict[int, tuple[float, tuple[int, ...]]] = {-1: (0.0, ())}
    for letter in wanted:
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for at, sign in enumerate(folded):
            if sign != letter:
                continue
            gain = WORD_START if _starts_word(name, at) else LETTER
            for last, (score, places) in best.items():
                if last < at:
                    near = last == at - 1 and last >= 0
                    left_out = at - last - 1 if last >= 0 else 0
                    total = score + (NEIGHBOUR if near else gain) - GAP * left_out
                    if at not in reached or total > reached[at][0]:
                        reached[at] = (total, (*places, at))
        if not reached:
            return None
        best = reached
    score, places = max(best.values(), key=lambda found: found[0])
    return score - len(name) / NAME_MAX, places


def _starts_word(name: str, at: int) -> bool:
    return at == 0 or not name[at - 1].isalnum() or (name[at].isupper() and name[at - 1].islower())
