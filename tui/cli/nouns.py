"""Verbs behind their noun, as other tools spell them: `corral node drain N` is `corral drain N`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_LOOK = {"show": "{noun}", "ls": "{noun}s", "list": "{noun}s"}

NOUNS: Mapping[str, Mapping[str, str]] = {
    "job": {
        **_LOOK,
        **{verb: verb for verb in ("submit", "cancel", "retry", "requeue", "wait", "why", "plan")},
        **{verb: verb for verb in ("hold", "release", "pause", "resume", "priority")},
        "derive": "plan",
    },
    "task": {**_LOOK, **{verb: verb for verb in ("cancel", "retry", "requeue", "logs", "why")}},
    "node": {
        **_LOOK,
        **{verb: verb for verb in ("cordon", "drain", "maintenance", "undrain", "uncordon", "label")},
        "logs": "nodelogs",
    },
    "events": {"resolve": "resolve"},
    "event": {"resolve": "resolve", "list": "events", "ls": "events"},
    "user": {"list": "users", "ls": "users", "share": "share"},
}
"""Noun -> what stands behind it -> the verb that it means."""


def plain(words: Sequence[str]) -> list[str]:
    """The words of a line with its verb in front; `corral node drain` alone still means the node "drain"."""
    if len(words) < 2 or words[0] not in NOUNS:
        return list(words)
    verb = NOUNS[words[0]].get(words[1])
    if verb is None or (len(words) == 2 and not verb.endswith("s")):
        return list(words)
    return [verb.format(noun=words[0]), *words[2:]]
