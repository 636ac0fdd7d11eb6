"""What decisions keep of themselves: small where they are many, and read again as it was written."""

from __future__ import annotations

import msgspec

from bus.values import AttemptRef, NodeName
from coordinator.core.scheduler.explain import Backfilled, Explanation, Seen, Sharing

FULL = Explanation(
    order="fcfs",
    rank="best_fit",
    feasible=2,
    candidates=(Seen(NodeName("n1"), 0.5, {"fragmentation": 0.25}), Seen(NodeName("n2"), 1.0)),
    rejected={NodeName("n3"): ("busy:cpu_millis",)},
    class_=5,
    policy="rollout",
    rule="heavy",
    q={"7.0": 1.5},
    backfill=Backfilled(behind="6.0", node=NodeName("n3"), reserved_s=100.0),
    usage_age_s=1.0,
)


def test_it_is_read_as_it_was_written_and_says_nothing_that_goes_without_saying() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FULL), type=Explanation) == FULL
    assert msgspec.json.encode(Explanation(class_=3)) == b'{"class":3}'


def test_what_older_coordinators_kept_is_read_too() -> None:
    kept = {"order": "fcfs", "rank": "best_fit", "feasible": 1, "candidates": [["n1", 0.5]], "rejected": {}}
    assert msgspec.convert(kept, Explanation).candidates == (Seen(NodeName("n1"), 0.5),)


def test_attempts_of_one_job_keep_a_shared_decision_once() -> None:
    sharing = Sharing()
    equal = msgspec.structs.replace(FULL)
    assert sharing.kept(FULL, AttemptRef(7, 0, 1)) is FULL
    again = sharing.kept(FULL, AttemptRef(7, 1, 1))
    assert (again.like, again.rank, again.feasible, again.candidates) == ((0, 1), "best_fit", 2, ())
    assert sharing.kept(FULL, AttemptRef(8, 0, 1)) is FULL  # whoever may see job 8 may not see job 7
    assert sharing.kept(equal, AttemptRef(7, 2, 1)) is equal
