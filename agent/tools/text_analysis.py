"""Statistics and keywords of a text, of any script.

Characters are what people count as one: a base with its marks, an emoji with its modifiers and joined
parts, a flag. Scripts that put no blanks between words (Thai, Lao, Khmer, Burmese, Han, Kana) are not
cut into words, for which one would need their dictionaries: their characters are counted apart, and
their keywords are the longest stretches of 2 to 8 characters that come up again.

Keywords of the other scripts are words of at least three letters that are no stop words of English, by how
often they come. There is no sentiment and no naming of entities: neither can be told without a trained model.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

TEXT_CHARS_MAX = 1_000_000
KEYWORDS = 10
KEYWORDS_MAX = 100

_STRETCH = range(8, 1, -1)
_STRETCHED_MAX = 50_000  # characters of such scripts that are searched for what comes up again
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？।]+")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Kana
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),  # Han
)  # fmt: skip
_JOINER, _SARA_AM, _LAO_AM = "\u200d", "\u0e33", "\u0eb3"
_STOP_WORDS = frozenset(
    " ".join(
        (
            "about above after again all also and any are because been before being below between both",
            "but can could did does doing down during each few for from further had has have having her",
            "here hers him his how into its itself just more most nor not now off once only other our",
            "ours out over own same she should some such than that the their theirs them then there",
            "these they this those through too under until very was were what when where which while",
            "who whom why will with would you your yours",
        )
    ).split()
)


def text_analysis(given: dict[str, Any], needs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"text": …, "keywords"?: 10} → {"characters", "words", "keywords": [{"word", "count"}], …}.

    Raises ValueError.
    """
    del needs
    text, most = given.get("text"), given.get("keywords", KEYWORDS)
    if not isinstance(text, str) or not text.strip():
        raise ValueError("text must be a text that is not empty")
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"text has more than {TEXT_CHARS_MAX} characters")
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= KEYWORDS_MAX:
        raise ValueError(f"keywords must be 1 to {KEYWORDS_MAX}")
    clusters = list(characters(text))
    unspaced = [cluster for cluster in clusters if _is_unspaced(cluster[0])]
    words = [word for word in _WORD.findall(_spaced_only(text)) if any(map(str.isalpha, word))]
    folded = Counter(word.casefold() for word in words)
    return {
        "characters": len(clusters),
        "unspaced_characters": len(unspaced),
        "words": len(words),
        "distinct_words": len(folded),
        "mean_word_length": round(sum(map(len, words)) / len(words), 3) if words else 0.0,
        "lines": len(text.splitlines()),
        "sentences": _sentences(text),
        "scripts": dict(_scripts(text).most_common()),
        "keywords": _keywords(folded, clusters, most),
    }


def characters(text: str) -> Iterator[str]:
    """Grapheme clusters, by the rules of Unicode that matter outside Hangul and Indic conjuncts."""
    cluster = ""
    for each in text:
        if cluster and _continues(cluster, each):
            cluster += each
        else:
            if cluster:
                yield cluster
            cluster = each
    if cluster:
        yield cluster


def _continues(cluster: str, each: str) -> bool:
    if cluster == "\r":
        return each == "\n"
    if cluster[-1] == _JOINER:
        return unicodedata.category(each) == "So"
    if unicodedata.category(cluster[-1]) in ("Cc", "Zl", "Zp"):
        return False
    code = ord(each)
    if 0x1F1E6 <= code <= 0x1F1FF:  # regional indicators: two make a flag
        return len(cluster) == 1 and 0x1F1E6 <= ord(cluster) <= 0x1F1FF
    return (
        unicodedata.category(each) in ("Mn", "Me", "Mc")
        or each in (_JOINER, "\u200c", _SARA_AM, _LAO_AM)
        or 0x1F3FB <= code <= 0x1F3FF  # tones of skin
        or 0xE0020 <= code <= 0xE007F  # tags of flags
    )


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return any(low <= code <= high for low, high in _UNSPACED) and unicodedata.category(character)[0] in "LM"


def _spaced_only(text: str) -> str:
    """The text with blanks where scripts are that know none."""
    if text.isascii():
        return text
    return "".join(" " if any(low <= ord(each) <= high for low, high in _UNSPACED) else each for each in text)


def _sentences(text: str) -> int:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    rest = text[ends[-1] :] if ends else text
    return len(ends) + bool(rest.strip())


def _scripts(text: str) -> Counter[str]:
    """Letters by the first word of their names in Unicode: LATIN, THAI, CJK …"""
    found: Counter[str] = Counter()
    for letter, count in Counter(text).items():
        if letter.isalpha():
            found[unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]] += count
    return found


def _keywords(folded: Counter[str], clusters: list[str], most: int) -> list[dict[str, Any]]:
    found = Counter({w: n for w, n in folded.items() if len(w) >= 3 and w not in _STOP_WORDS})
    found.update(_repeated(clusters[:_STRETCHED_MAX]))
    ranked = sorted(found.items(), key=lambda each: (-each[1], -len(each[0]), each[0]))
    return [{"word": word, "count": count} for word, count in ranked[:most]]


def _repeated(clusters: list[str]) -> Counter[str]:
    """Stretches of scripts without blanks that come at least twice, none of them within a longer one."""
    found: Counter[str] = Counter()
    taken = [not _is_unspaced(cluster[0]) for cluster in clusters]
    for length in _STRETCH:
        places: dict[str, list[int]] = {}
        last: dict[str, int] = {}
        for start in range(len(clusters) - length + 1):
            if any(taken[start : start + length]):
                continue
            stretch = "".join(clusters[start : start + length])
            if start - last.get(stretch, -length) >= length:  # no two of them overlap
                last[stretch] = start
                places.setdefault(stretch, []).append(start)
        for stretch, starts in places.items():
            free = [start for start in starts if not any(taken[start : start + length])]
            if len(free) >= 2:
                found[stretch] = len(free)
                for start in free:
                    taken[start : start + length] = [True] * length
    return found
