"""Subjects are built and parsed in one place, and nothing that a name may not be gets into one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import subjects
from bus.subjects import (
    ApiSubject,
    Direction,
    ErrorsSubject,
    FeedSubject,
    LogSubject,
    NodeSubject,
    NodeVerb,
    Noun,
    Peer,
    PeerSubject,
    PublishSubject,
    StreamSubject,
    SubjectError,
    is_own_inbox,
    matches,
    parse,
)
from bus.values import NodeName, TaskRef, UserName

ALICE, N1 = UserName("alice"), NodeName("n1")
TASK = TaskRef(1042, 7)


@pytest.mark.parametrize(
    ("built", "text", "meaning"),
    [
        (subjects.node("n1", NodeVerb.REPORT), "corral.node.n1.report", NodeSubject(N1, NodeVerb.REPORT)),
        (subjects.log("n1", "alice", TASK), "corral.node.n1.log.alice.1042-7", LogSubject(N1, ALICE, TASK)),
        (subjects.api("alice", "job.submit"), "corral.u.alice.job.submit", ApiSubject(ALICE, "job.submit")),
        (subjects.publish("alice"), "corral.u.alice.publish", PublishSubject(ALICE)),
        (subjects.errors("alice"), "corral.u.alice.errors", ErrorsSubject(ALICE)),
        (
            subjects.feed_job("alice", 1042),
            "corral.feed.alice.job.1042",
            FeedSubject(ALICE, Noun.JOB, "1042"),
        ),
        (
            subjects.feed_task("alice", TASK),
            "corral.feed.alice.task.1042-7",
            FeedSubject(ALICE, Noun.TASK, "1042-7"),
        ),
        (subjects.feed_node("n1"), "corral.feed._.node.n1", FeedSubject(None, Noun.NODE, "n1")),
        (
            subjects.stream("alice", "n1", "pty-1", direction=Direction.UP),
            "corral.s.alice.n1.pty-1.up",
            StreamSubject(ALICE, N1, "pty-1", Direction.UP),
        ),
        (
            subjects.peer_stream("n2", "n1", "send_1", direction=Direction.DOWN),
            "corral.peer.n2.n1.send_1.down",
            PeerSubject(NodeName("n2"), N1, "send_1", Direction.DOWN),
        ),
    ],
)
def test_built_subjects_parse_back(built: str, text: str, meaning: subjects.Parsed) -> None:
    assert built == text
    assert parse(built) == meaning


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "corral",
        "corral.u.alice",
        "corral.u.*.job.submit",
        "corral.u.>",
        "corral.u..job.submit",
        "corral.u.Alice.job.submit",
        "corral.node.n1.dance",
        "corral.node.n1.log.alice.7",
        "corral.node.n1.log.alice.0-1",
        "corral.u._.publish",
        "corral.feed.alice.job.1 2",
        "corral.s.alice.n1.x.sideways",
        "corral.peer.n1.n2.x.sideways",
        "corral.peer.N1.n2.x.up",
        "corral.peer.n1.n2.*.up",
        "corral.u.alice.job.submit.now",
        "$SRV.PING",
        "corral.u.alice\n.publish",
        "corral.node.n1.log.alice.1042-07",
    ],
)
def test_other_subjects_are_refused(subject: str) -> None:
    """B13: wildcards and empty tokens among them."""
    with pytest.raises(SubjectError):
        parse(subject)


@pytest.mark.parametrize("name", ["", "*", ">", "a.b", "Alice", "_", "-a", "a b", "a\n", "ä", "a" * 64])
def test_names_that_are_no_token_are_refused(name: str) -> None:
    for build in (subjects.publish, subjects.feed_of, lambda text: subjects.node(text, NodeVerb.USAGE)):
        with pytest.raises(SubjectError):
            build(name)
    with pytest.raises(SubjectError):
        subjects.inbox_prefix(Peer.USER, name)


@given(st.text(max_size=60))
def test_parse_answers_or_refuses(text: str) -> None:
    try:
        parse(text)
    except SubjectError:
        return


@given(st.integers(1, 10**12), st.integers(0, 10**9))
def test_task_tokens_round_trip(job: int, index: int) -> None:
    task = TaskRef(job, index)
    assert subjects.parse_task_token(subjects.task_token(task)) == task


def test_answers_go_to_the_asker_only() -> None:
    """B15: a reply subject outside the sender's inbox."""
    request = "corral.u.alice.job.submit"
    assert is_own_inbox(request, "_INBOX_alice.x.1")
    for reply in (
        "",
        "_INBOX_bob.x",
        "_INBOX_alice",
        "_INBOX_alicex.y",
        "corral.node.n1.command",
        "_INBOX_N_alice.x",
    ):
        assert not is_own_inbox(request, reply)
    assert is_own_inbox("corral.node.n1.report", "_INBOX_N_n1.x")
    assert not is_own_inbox("corral.node.n1.report", "_INBOX_n1.x")
    assert is_own_inbox("corral.node.n1.command", "_INBOX_C_coordinator.x")
    assert not is_own_inbox("corral.node.n1.command", "_INBOX_alice.x")
    assert not is_own_inbox("corral.feed.alice.job.1", "_INBOX_alice.x")


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a", "a.b", False),
        (">", "a", True),
        ("a.*", "a", False),
        ("a.b", "a.b", True),
    ],
)
def test_wildcards(pattern: str, subject: str, covered: bool) -> None:
    assert matches(pattern, subject) is covered
