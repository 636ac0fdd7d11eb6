"""`corral schema states` prints the tables that are enforced, and docs/states.md is what it prints."""

from __future__ import annotations

import json
import re

import pytest

from bus.lifecycle import NODE_MEANINGS, NODE_TRANSITIONS, TASK_MEANINGS, TASK_TRANSITIONS
from bus.values import NodeAdmin, TaskState
from tests.unit.tui.command import Corral
from tests.unit.tui.test_streams import ROOT


@pytest.mark.contract("S4.47")
@pytest.mark.parametrize("form", ["table", "mermaid"])
def test_the_page_is_what_the_command_prints(corral: Corral, form: str) -> None:
    page = (ROOT / "docs" / "states.md").read_text()
    drawn = re.search(rf"<!-- drawn: {form} -->\n```\w+\n(.*?)```\n<!-- end -->", page, re.DOTALL)
    code, out, _ = corral("schema", "states", "-o", form)
    assert code == 0 and drawn is not None
    assert out == drawn[1], "make documents"


@pytest.mark.contract("S2.11", "S4.47")
def test_the_document_of_the_states_is_the_table(corral: Corral) -> None:
    printed = json.loads(corral("schema", "states", "-o", "json")[1])
    tasks = {TaskState(state): frozenset(map(TaskState, after)) for state, after in printed["task"].items()}
    nodes = {NodeAdmin(state): frozenset(map(NodeAdmin, after)) for state, after in printed["node"].items()}
    assert (tasks, nodes) == (TASK_TRANSITIONS, NODE_TRANSITIONS)


def test_every_state_means_something() -> None:
    assert set(TASK_MEANINGS) == set(TASK_TRANSITIONS) == set(TaskState)
    assert set(NODE_MEANINGS) == set(NODE_TRANSITIONS) == set(NodeAdmin)


def test_another_subject_is_refused(corral: Corral) -> None:
    code, _, err = corral("schema", "colours")
    assert code == 2 and err.startswith("error[")
