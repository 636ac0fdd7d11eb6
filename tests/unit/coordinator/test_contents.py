"""Models and files of a spec: where tasks find them, what is refused, and where such tasks rather run."""

from __future__ import annotations

from typing import Any

import pytest

from bus.codec import from_fields
from bus.contents import Content, Pointer, Scheme, parse_pointer
from bus.spec import JobSpec
from bus.values import Capability, NodeName, TaskSettings, UserName
from coordinator.core.contents import CONTENTS_MAX, GIB, held, weight, words
from coordinator.core.intake import Derived, derive
from coordinator.core.scheduler.affinity import scoring
from coordinator.core.scheduler.rank import RANKS
from coordinator.core.scheduler.wishes import Held
from tests.unit.coordinator.conftest import World

RESNET = Content(
    said="resnet", sha256="1" * 64, size=3 * GIB, file="w.bin", model="resnet", version="1.0", nodes=("n2",)
)
TABLE = Content(said="corral://7.0/t.csv", sha256="2" * 64, size=10, nodes=("n2", "n1"))
LOCAL = Content(said="file:///srv/d", url="file:///srv/d")
CAN = Capability(level=1.0, verified=True)
FOUND = [RESNET, TABLE, LOCAL]


def asked(**fields: Any) -> Derived | list[tuple[str, str]]:
    base = {} if "tasks" in fields else {"command": ["true"]}
    spec = from_fields(base | fields, JobSpec)
    spec.contents = FOUND
    found = derive(spec, UserName("alice"))
    return found if isinstance(found, Derived) else [(fault.code, fault.field) for fault in found]


def settings(**fields: Any) -> list[TaskSettings]:
    found = asked(**fields)
    assert isinstance(found, Derived), found
    return [part.settings for part in found.parts]


def test_a_task_finds_what_its_entry_says_or_else_its_job() -> None:
    (plain,) = settings()
    assert plain.contents == {} and plain.features == ()
    (both,) = settings(models=["resnet"], files={"in/t.csv": TABLE.said, "d": LOCAL.said})
    assert both.contents == {"models/resnet/w.bin": RESNET, "files/in/t.csv": TABLE, "files/d": LOCAL}
    tasks = [
        {"command": ["a"]},
        {"command": ["b"], "models": []},
        {"command": ["c"], "files": {"x": TABLE.said}},
    ]
    found = settings(models=["resnet"], tasks=tasks)
    assert [sorted(each.contents) for each in found] == [
        ["models/resnet/w.bin"],
        [],
        ["files/x", "models/resnet/w.bin"],
    ]


def test_only_nodes_that_can_bring_it_get_such_tasks() -> None:
    (found,) = settings(models=["resnet"])
    assert found.features == ("can:content",)
    (found,) = settings(files={"d": LOCAL.said})
    assert found.features == ("can:content", "can:node_files")


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"models": ["a b", "resnet", "x@"]}, [("E_VALUE", "/models/0"), ("E_VALUE", "/models/2")]),
        ({"models": ["resnet", "resnet@1.0"]}, [("E_NAME_CLASH", "/models/1")]),
        ({"models": ["a.b", "a-b"]}, [("E_NAME_CLASH", "/models/1")]),
        ({"models": ["unknown"]}, [("E_NOT_FOUND", "/models/0")]),
        ({"files": {"../x": TABLE.said}}, [("E_PATH", "/files/../x")]),
        ({"files": {"/etc/x": TABLE.said}}, [("E_PATH", "/files//etc/x")]),
        ({"files": {"a\nb": TABLE.said}}, [("E_NAME", "/files/a\nb")]),
        ({"files": {"A": TABLE.said, "a": TABLE.said}}, [("E_NAME_CLASH", "/files/a")]),
        ({"files": {"a": TABLE.said, "a/b": TABLE.said}}, [("E_NAME_CLASH", "/files")]),
        ({"files": {"a": "http://169.254.169.254/"}}, [("E_VALUE", "/files/a")]),
        ({"files": {"a": "file://../x"}}, [("E_VALUE", "/files/a")]),
        ({"files": {"a": "file:///etc/../x"}}, [("E_VALUE", "/files/a")]),
        ({"files": {"a": "s3://b"}}, [("E_VALUE", "/files/a")]),
        ({"files": {"a": ""}}, [("E_VALUE", "/files/a")]),
        (
            {"tasks": [{"command": ["a"], "files": {"x": "corral://9.0/none"}}]},
            [("E_NOT_FOUND", "/tasks/0/files/x")],
        ),
        ({"models": [f"m{n}" for n in range(CONTENTS_MAX + 1)]}, [("E_TOO_MANY", "/files")]),
    ],
    ids=ascii,
)
def test_what_is_refused(fields: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert asked(**fields) == faults


def test_words_are_looked_up_once() -> None:
    spec = from_fields(
        {
            "models": ["m"],
            "files": {"a": "x/1"},
            "tasks": [
                {"command": ["a"], "models": ["m", "n"], "files": {"b": "x/1", "c": "m"}},
                {"command": ["b"]},
            ],
        },
        JobSpec,
    )
    assert words(spec) == [
        ("/models/0", "m", True),
        ("/files/a", "x/1", False),
        ("/tasks/0/models/1", "n", True),
        ("/tasks/0/files/c", "m", False),
    ]


def test_pointers() -> None:
    assert parse_pointer("1.0/a") == Pointer(Scheme.CORRAL, "1.0/a")
    assert parse_pointer("corral://@last.0/a") == Pointer(Scheme.CORRAL, "@last.0/a")
    assert parse_pointer("s3://bucket/a/b").bucket_and_key == ("bucket", "a/b")
    assert parse_pointer("file:///a/b").path == "/a/b"
    for text in ("s3://B/x", "s3://ab/x", "ftp://x/y", "corral://", "a\x1bb", "corral://" + "x" * 2_048):
        with pytest.raises(ValueError, match=r"."):
            parse_pointer(text)


# where such tasks rather run


def test_what_must_be_brought_counts_a_point_a_gib() -> None:
    assert [weight(size) for size in (0, 1, GIB, GIB + 1, 500 * GIB)] == [1, 1, 1, 2, 100]
    assert held([RESNET, TABLE, LOCAL]) == (
        Held((NodeName("n1"), NodeName("n2")), 1),
        Held((NodeName("n2"),), 3),
    )


def test_a_task_goes_where_its_content_lies_or_its_job_has_tasks() -> None:
    world = World()
    for name in ("n1", "n2", "n3"):
        world.register(name, capabilities={"content": CAN})
    job = world.submit(
        command=["true"], array="0-1", models=["resnet"], files={"t": TABLE.said}, contents=FOUND
    )
    (group,) = world.cluster.jobs[job].groups
    score = scoring(world.cluster, group.shape)
    rank = RANKS["best_fit"]

    def points(name: str) -> float:
        node = world.cluster.nodes[NodeName(name)]
        request = group.settings.resources
        return round((score(node, request) - rank(node, request)) / 1e7)

    assert [points(name) for name in ("n1", "n2", "n3")] == [3, 0, 4]
    world.happen(schedule=True)
    assert {attempt.node for attempt in world.cluster.attempts()} == {"n2"}
    world.cluster.nodes[NodeName("n3")].jobs[job] = 1
    assert points("n3") == 0  # it has brought it already
