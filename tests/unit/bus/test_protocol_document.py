"""`docs/protocol.md` says what the code says: its tables are drawn from it and compared."""

from __future__ import annotations

import re

import pytest

from bus import subjects
from bus.subjects import NodeVerb
from tests.documents.drawing import DOCS
from tests.documents.protocol import SUBJECTS, drawn


@pytest.mark.parametrize("name", drawn())
def test_the_document_says_what_the_code_says(name: str) -> None:
    text = (DOCS / "protocol.md").read_text()
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n?<!-- end -->", text, re.DOTALL)
    assert found is not None, f"no table {name} in protocol.md"
    assert found[1] == drawn()[name], "make documents"


def test_every_kind_of_subject_is_told() -> None:
    told = [subject for subject in SUBJECTS if not subject.startswith(("corral.dead", subjects.LEADER))]
    parsed = {type(subjects.parse(subject)) for subject in told}
    assert parsed == set(subjects.Parsed.__args__)
    verbs = {subject.rsplit(".", 1)[1] for subject in SUBJECTS if subject.startswith("corral.node.n1.")}
    assert set(NodeVerb) <= verbs
