"""Whatever is typed, the command ends with one of its codes and an error in the catalogue's form."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.codes import CODES
from tests.unit.tui.command import Corral
from tui.cli.diagnostics import Exit
from tui.cli.reference import verbs

HARMLESS = {
    "submit", "run", "plan", "wait", "cancel", "retry", "hold", "release", "jobs", "job", "tasks", "task",
    "logs", "why", "events", "nodes", "node", "cordon", "drain", "undrain", "help", "completion",
    "pause", "resume", "requeue", "maintenance", "schema",
}  # fmt: skip
"""Verbs that change nothing on this machine."""

VERBS = [verb for verb in verbs() if verb.name in HARMLESS]
FLAGS = sorted({flag for verb in VERBS for option in verb.options for flag in option.flags} - {"--data"})
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(["7", "7.0", "7.0#2", "@last", "-1", "1e9", "--", "-", "=", "a=b", "10m", "json"]),
    st.text(st.characters(exclude_characters="\x00"), max_size=12),
)
FORM = re.compile(r"(?:error\[(E_[A-Z_]+)\]: .+\n(?:hint: .+\n)?)+|\{\"error\": .+\}\n")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(HARMLESS)), st.lists(WORDS, max_size=6))
def test_any_line_ends_well(corral: Corral, verb: str, words: list[str]) -> None:
    code, _, err = corral(verb, *(word for word in words if word not in ("-f", "--follow")))
    assert code in set(Exit)
    if code not in (Exit.OK, Exit.JOB_FAILED):
        assert FORM.fullmatch(err), err
        assert "\x1b" not in err
        assert set(re.findall(r"error\[(\w+)\]", err)) <= set(CODES)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\x00"), max_size=12), max_size=3))
def test_any_words_without_a_verb_end_well(corral: Corral, words: list[str]) -> None:
    if words and words[0] in {name for verb in verbs() for name in (verb.name, *verb.aliases)}:
        return
    code, _, err = corral(*words)
    assert code == Exit.OK or (code == Exit.USAGE and FORM.fullmatch(err)), err
