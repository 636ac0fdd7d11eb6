"""The registry: what a name means, what a submission keeps of it, who disables what, where tasks may run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ApiError
from bus.registry import ToolAdd
from bus.spec import Constraints, JobSpec
from bus.values import Capability, Ended, NodeAdmin, Outcome
from coordinator.api.jobs import seal
from coordinator.core import why
from coordinator.core.intake import Derived, derive
from coordinator.core.model import Cluster, shape_of
from coordinator.core.scheduler.feasible import never_fits, obstacles
from coordinator.registry import Registry, Resolved, version_key
from tests.unit.coordinator.fakes import FakeTools
from tests.unit.coordinator.shell import running_shell, until

VERSIONS = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-beta",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0-rc.1",
    "2.0.0",
]
SCHEMA = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}


async def registry_of(*tools: ToolAdd, cluster: Cluster | None = None) -> Registry:
    store = FakeTools()
    for tool in tools:
        await store.add(tool, current=True, by="olga")
    registry = Registry(cluster or Cluster())
    registry.put(await store.tools(), await store.types())
    return registry


def resize(**other: Any) -> ToolAdd:
    fields: dict[str, Any] = {"name": "resize", "command": ["/opt/resize", "{input.file}", "{output}"]}
    return ToolAdd(**(fields | other))


def derived(spec: JobSpec) -> Derived:
    found = derive(spec, "alice")
    assert isinstance(found, Derived), found
    return found


@given(st.permutations(VERSIONS))
def test_versions_are_ordered_as_semver_says(shuffled: list[str]) -> None:
    assert sorted(shuffled, key=version_key) == VERSIONS


async def test_a_submission_keeps_what_the_version_said() -> None:
    first = await registry_of(resize(input_schema=SCHEMA, cpu="2", memory="1GiB", timeout="5m"))
    spec = await first.resolve(JobSpec(tool="resize", input={"file": "/a"}))
    (part,) = derived(spec).parts
    assert part.command == ("/opt/resize", "{input.file}", "{output}")
    settings = part.settings
    assert (settings.called, settings.template, settings.tool) == ("resize@1.0.0", True, None)
    assert (settings.resources.cpu_millis, settings.resources.mem_mib, settings.timeout_s) == (
        2000,
        1024,
        300.0,
    )
    assert settings.features == ("role:tool_executor",)
    stored = msgspec.json.decode(seal(Resolved(spec)).json, type=JobSpec)
    newer = await registry_of(resize(version="2.0.0", command=["/opt/other"]))
    again = await newer.resolve(JobSpec(tool="resize", input={"file": "/a"}))
    assert derived(stored) == derived(spec) != derived(again), "what is stored means what it meant"
    assert seal(Resolved(again)).digest == seal(Resolved(spec)).digest, (
        "the same words are the same submission"
    )


async def test_jobs_stored_before_there_was_a_registry_mean_what_they_meant() -> None:
    old = JobSpec(tool="wordcount", for_each=["/a", "/b"])
    told = await (await registry_of()).resolve(old)
    for before, now in zip(derived(old).parts, derived(told).parts, strict=True):
        assert before.settings.called == "" and now.settings.called in (
            "wordcount@1.0.0",
            "wordcount_merge@1.0.0",
        )
        assert msgspec.structs.replace(now.settings, called="") == before.settings
        assert msgspec.structs.replace(now, settings=before.settings) == before


async def test_a_version_can_be_named_and_one_that_is_not_there_is_told() -> None:
    registry = await registry_of(resize(), resize(version="2.0.0"))
    spec = await registry.resolve(JobSpec(tool="resize@1.0.0", input={"file": "/a"}))
    assert derived(spec).parts[0].settings.called == "resize@1.0.0"
    spec = await registry.resolve(JobSpec(tool="wordcount@1.0.0", input={"text": "a"}))
    assert derived(spec).parts[0].settings.tool == "wordcount"
    with pytest.raises(ApiError, match=r"no version '3\.0\.0'"):
        await registry.resolve(JobSpec(tool="resize@3.0.0", input={"file": "/a"}))
    with pytest.raises(ApiError) as caught:
        await registry.resolve(JobSpec(tool="risize", input={"file": "/a"}))
    assert caught.value.error.code == "E_TYPE_UNKNOWN" and "resize" in caught.value.error.hint


async def test_of_an_empty_input_a_schema_says_what_is_missing() -> None:
    plain = resize(command=["/opt/resize"], input_schema=SCHEMA | {"required": ["file"]})
    with pytest.raises(ApiError) as caught:
        await (await registry_of(plain)).resolve(JobSpec(tool="resize", input={}))
    assert caught.value.error.code == "E_INPUT" and "file" in str(caught.value.error)


async def test_inputs_are_checked_and_missing_keys_named() -> None:
    registry = await registry_of(resize(input_schema=SCHEMA))
    with pytest.raises(ApiError) as caught:
        await registry.resolve(JobSpec(tool="resize", input={"file": 5}))
    assert (caught.value.error.code, caught.value.error.field) == ("E_INPUT", "/input/file")
    faults = derive(await registry.resolve(JobSpec(tool="resize", input={"other": 5})), "alice")
    assert isinstance(faults, tuple) and 'required input key "file"' in faults[0].message
    items = resize(
        command=["/opt/resize", "{item}"], input_schema={"properties": {"item": {"pattern": "^/"}}}
    )
    registry = await registry_of(items)
    with pytest.raises(ApiError) as caught:
        await registry.resolve(JobSpec(tool="resize", for_each=["/a", "b"]))
    assert caught.value.error.field == "/for_each/1"
    assert (await registry.resolve(JobSpec(tool="resize", for_each=["/a", "/b"]))).called


async def test_nobody_tells_the_coordinator_what_a_tool_is() -> None:
    registry = await registry_of(resize(), resize(version="2.0.0", command=["/opt/two"]))
    spec = await registry.resolve(JobSpec(tool="resize", input={"file": "/a"}))
    assert await registry.resolve(spec) == spec, "a job may be submitted again as it was shown"
    forged = msgspec.structs.replace(spec, tool="resize@1.0.0")
    for each in (forged, JobSpec(command=["true"], called=spec.called)):
        with pytest.raises(ApiError, match="/called"):
            await registry.resolve(each)


@pytest.mark.contract("S3.41")
async def test_a_tool_of_one_node_is_disabled_with_it_and_enabled_again() -> None:
    async with running_shell() as shell:
        await shell.agent("n1", roles=("tool_executor",))
        await until(lambda: "n1" in shell.cluster.nodes)
        registry = await registry_of(resize(node="n1"), cluster=shell.cluster)
        row = registry.find("resize")
        assert row is not None
        assert registry.entry(row).enabled and registry.able(row) == ["n1"]
        for admin in (NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE, NodeAdmin.FAILED, NodeAdmin.INACTIVE):
            shell.cluster.nodes["n1"].admin = admin
            entry = registry.entry(row)
            assert (entry.enabled, entry.disabled_by) == (False, "node") and str(admin) in entry.reason
            with pytest.raises(ApiError) as caught:
                await registry.resolve(JobSpec(tool="resize", input={"file": "/a"}))
            assert caught.value.error.code == "E_TOOL_DISABLED"
        shell.cluster.nodes["n1"].admin = NodeAdmin.ACTIVE
        assert registry.entry(row).enabled
        by_hand = msgspec.structs.replace(row, enabled=False, status_by="olga", status_reason="broken")
        registry.put([by_hand], registry.types.values())
        entry = registry.entry(by_hand)
        assert (entry.enabled, entry.disabled_by, entry.reason) == (False, "olga", "broken"), "it stays so"


async def test_tasks_go_to_nodes_that_can_and_wait_with_a_reason_where_none_can() -> None:
    async with running_shell() as shell:
        await shell.agent("n1", roles=("tool_executor",))
        await shell.agent("n2")
        await until(lambda: len(shell.cluster.nodes) == 2)
        n1, n2 = shell.cluster.nodes["n1"], shell.cluster.nodes["n2"]
        registry = await registry_of(resize(capability="resizing"), cluster=shell.cluster)
        spec = await registry.resolve(JobSpec(tool="resize", input={"file": "/a"}))
        shape = shape_of(derived(spec).parts[0].settings)
        assert obstacles(n1, shape) == ("can:resizing",)
        assert obstacles(n2, shape) == ("role:tool_executor", "can:resizing")
        assert never_fits(shell.cluster.nodes.values(), shape) is None, "it is accepted, and waits"
        told = {each.code: each for each in why.node_blockers(shell.cluster, shape, asker="alice")}
        assert (
            told["can:resizing"].message == "no agent can resizing" and "--can" in told["can:resizing"].remedy
        )
        assert "role tool_executor" in told["role:tool_executor"].message
        n1.capabilities = {"resizing": Capability(level=0.5, fault="n is 3, not 4")}
        told = {each.code: each for each in why.node_blockers(shell.cluster, shape, asker="alice")}
        assert "that of n1 passed 50% of its tests (n is 3, not 4)" in told["can:resizing"].message
        n1.capabilities = {"resizing": Capability(level=0.5)}
        assert "of its tests" in why.node_blockers(shell.cluster, shape, asker="alice")[0].message
        n1.capabilities = {"resizing": Capability(level=1.0, verified=True)}
        assert why.node_blockers(shell.cluster, shape, asker="alice") == []
        n1.roles = ()
        said = [each.message for each in why.node_blockers(shell.cluster, shape, asker="alice")]
        assert "2 of 2 nodes do not have the role tool_executor" in said
        assert "the agent of node n2 cannot resizing" in said


async def test_a_pin_and_other_nodes_exclude_each_other() -> None:
    registry = await registry_of(resize(node="n1"))
    elsewhere = Constraints(nodes=["n2"])
    spec = await registry.resolve(JobSpec(tool="resize", input={"file": "/a"}, constraints=elsewhere))
    faults = derive(spec, "alice")
    assert isinstance(faults, tuple) and faults[0].code == "E_CONSTRAINT"


async def test_an_output_that_breaks_its_schema_fails_the_task_at_once() -> None:
    async with running_shell() as shell:
        agent = await shell.agent("n1", roles=("tool_executor",), tools=("wordcount",))
        await shell.ask("alice", "job.submit", tool="wordcount", input={"text": "a"})
        await until(agent.assigned)
        (attempt,) = agent.assigned()
        ended = Ended(
            attempt=attempt,
            outcome=Outcome.EXITED,
            ended_at=2.0,
            started_at=1.0,
            exit_code=0,
            output=b'{"n":1}',
        )
        await agent.report(ended)
        await until(lambda: not shell.cluster.jobs)
        (change,) = [each for batch in shell.store.batches for each in batch.task_changes if each.message]
        assert change.state == "failed" and change.message.startswith("E_OUTPUT: / breaks")
        assert change.retries == 0 and change.output == b'{"n":1}', (
            "it can be looked at, and is not tried again"
        )


DESK = [
    ("tool.add", {"name": "UP", "command": ["a"]}, "E_NAME"),
    ("tool.add", {"name": "wordcount", "command": ["a"]}, "E_NAME_CLASH"),
    ("tool.add", {"name": "a", "command": ["a"], "version": "1"}, "E_VALUE"),
    ("tool.add", {"name": "a", "command": []}, "E_COMMAND"),
    ("tool.add", {"name": "a", "command": ["{input.program}"]}, "E_VALUE"),
    ("tool.add", {"name": "a", "command": ["a\0"]}, "E_CHAR"),
    ("tool.add", {"name": "a", "command": ["a", "{nope}"]}, "E_VALUE"),
    ("tool.add", {"name": "a", "command": ["a" * 20_000]}, "E_TOO_LARGE"),
    ("tool.add", {"name": "a", "command": ["a"], "category": "other"}, "E_ENUM"),
    ("tool.add", {"name": "a", "command": ["a"], "type": "nope"}, "E_TYPE_UNKNOWN"),
    ("tool.add", {"name": "a", "command": ["a"], "node": "n9"}, "E_NOT_FOUND"),
    ("tool.add", {"name": "a", "command": ["a"], "tags": ["A"]}, "E_LABEL"),
    ("tool.add", {"name": "a", "command": ["a"], "cpu": "much"}, "E_UNIT"),
    ("tool.add", {"name": "a", "command": ["a"], "description": "\u202e"}, "E_VALUE"),
    ("tool.add", {"name": "a", "command": ["a"], "capability": "A B"}, "E_VALUE"),
    ("tool.add", {"name": "a", "command": ["a"], "file": {"path": "x", "sha256": "0" * 64}}, "E_PATH"),
    ("tool.add", {"name": "a", "command": ["a"], "file": {"path": "/x", "sha256": "0"}}, "E_HASH"),
    ("tool.add", {"name": "a", "command": ["a"], "input_schema": {"$ref": "http://x"}}, "E_SCHEMA"),
    ("tool.show", {"tool": "wordcuont"}, "E_NOT_FOUND"),
    ("tool.tag", {"tool": "wordcount", "add": ["A"]}, "E_LABEL"),
    ("tool.tag", {"tool": "wordcount", "add": [f"t{n}" for n in range(32)]}, "E_TOO_MANY"),
    ("tool.disable", {"tool": "wordcount", "reason": "\x1b"}, "E_VALUE"),
    ("tool.remove", {"tool": "wordcount"}, "E_CONFLICT"),
    ("tool.stats", {"window_s": 0.0}, "E_RANGE"),
    ("type.list", {"name": "nope"}, "E_NOT_FOUND"),
    ("type.add", {"name": "A", "description": "x"}, "E_TYPE_NAME"),
    ("type.add", {"name": "tool", "description": "x"}, "E_NAME_CLASH"),
    ("type.add", {"name": "abc", "description": " "}, "E_VALUE"),
    ("type.add", {"name": "abc", "description": "x", "agent_type": "Me"}, "E_ENUM"),
    ("type.add", {"name": "abc", "description": "x", "required_input": [""]}, "E_VALUE"),
]


async def test_the_desk_refuses_what_cannot_be_kept() -> None:
    async with running_shell() as shell:
        for operation, request, code in DESK:
            answer = msgspec.json.decode(
                (await shell.raw("olga", operation, msgspec.json.encode(request))).data
            )
            assert answer["error"]["code"] == code, (operation, request, answer)


async def test_the_life_of_a_tool() -> None:
    async with running_shell() as shell:
        await shell.agent("n1", roles=("tool_executor",))

        async def ask(operation: str, **request: Any) -> Any:
            data = msgspec.json.encode(request)
            return msgspec.json.decode((await shell.raw("olga", operation, data)).data)

        made = await ask("tool.add", name="resize", command=["resize"], tags=["b", "a"])
        assert made["current"] and made["nodes"] == ["n1"] and made["created_by"] == "olga"
        await ask("tool.add", name="resize", command=["two"], version="2.0.0")
        older = await ask("tool.add", name="resize", command=["old"], version="0.9.0")
        assert not older["current"] and older["versions"] == ["2.0.0", "1.0.0", "0.9.0"]
        assert (await ask("tool.add", name="resize", command=["x"], version="1.0.0"))["error"][
            "code"
        ] == "E_NAME_CLASH"
        assert (await ask("tool.show", tool="resize"))["version"] == "2.0.0"
        await ask("tool.tag", tool="resize", add=["c"])
        assert [each["name"] for each in (await ask("tool.list", tag="c"))["tools"]] == ["resize"]
        await ask("tool.disable", tool="resize", reason="broken")
        assert "resize" not in [each["name"] for each in (await ask("tool.list", active=True))["tools"]]
        assert (await ask("tool.enable", tool="resize"))["enabled"]
        await ask("tool.remove", tool="resize@2.0.0")
        assert (await ask("tool.show", tool="resize"))["version"] == "1.0.0"
        found = (await ask("tool.list", input_property="keywords", category="analysis", text="SENT"))["tools"]
        assert [each["name"] for each in found] == ["text_analysis"]
        (worker,) = (await ask("worker.list"))["workers"]
        assert (worker["id"], worker["roles"]) == ("n1", ["tool_executor"])
        mine = await ask("type.add", name="mine", description="Mine", required_input=["a"])
        assert mine["required_input"] == ["a"] and (await ask("type.list", name="mine"))["types"] == [mine]
