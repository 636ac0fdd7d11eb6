"""What a submission's words mean is looked up once, for whoever submits, at every door."""

from __future__ import annotations

from typing import Any

from bus.values import NodeName
from tests.unit.coordinator.shell import Shell, running_shell

ONE, TWO = "1" * 64, "2" * 64


async def refused(shell: Shell, user: str = "alice", **fields: Any) -> tuple[str, str]:
    answer = await shell.ask(user, "job.submit", command=["true"], **fields)
    error = answer.get("error", {"code": "", "field": ""})
    return error["code"], error["field"]


def kept(shell: Shell, number: int) -> list[tuple[str, str, str]]:
    """What the tasks of a job find: place, hash, pointer."""
    (group,) = shell.cluster.jobs[number].groups
    return [(place, each.sha256, each.url) for place, each in sorted(group.settings.contents.items())]


async def registered(shell: Shell) -> None:
    shell.left.add("w.bin", ONE, nodes=["n1"])
    shell.left.add("t.csv", TWO, nodes=["n1"])
    for version in ("1.0", "2.0"):
        await shell.ask("alice", "model.register", name="m", version=version, artifact="w.bin")


async def test_a_job_keeps_what_its_words_meant() -> None:
    async with running_shell() as shell:
        await registered(shell)
        files = {"t": "corral://t.csv", "h": f"corral://{TWO}", "l": "file:///srv/x"}
        answer = await shell.ask("alice", "job.submit", command=["true"], models=["m"], files=files)
        found = kept(shell, answer["number"])
        assert found == [
            ("files/h", TWO, ""),
            ("files/l", "", "file:///srv/x"),
            ("files/t", TWO, ""),
            ("models/m/w.bin", ONE, ""),
        ]
        model = shell.cluster.jobs[answer["number"]].groups[0].settings.contents["models/m/w.bin"]
        assert (model.version, model.nodes) == ("2.0", ("n1",))
        # a plan asks for the same
        plan = await shell.ask("alice", "job.plan", command=["true"], models=["m"])
        assert "error" not in plan
        plan = await shell.ask("alice", "job.plan", command=["true"], models=["none"])
        assert plan["error"]["code"] == "E_NOT_FOUND"


async def test_the_same_words_are_the_same_job_whatever_they_mean_by_then() -> None:
    async with running_shell() as shell:
        await registered(shell)
        first = await shell.ask("alice", "job.submit", command=["true"], models=["m"], dedupe_key="k")
        await shell.ask("alice", "model.register", name="m", version="3.0", artifact="w.bin")
        again = await shell.ask("alice", "job.submit", command=["true"], models=["m"], dedupe_key="k")
        assert again["number"] == first["number"] and again["duplicate"]


async def test_what_cannot_be_looked_up() -> None:
    async with running_shell() as shell:
        await registered(shell)
        assert await refused(shell, models=["m@9"]) == ("E_NOT_FOUND", "/models/0")
        assert await refused(shell, models=["m", "../m"]) == ("E_VALUE", "/models/1")
        assert await refused(shell, files={"a": "corral://none"}) == ("E_NOT_FOUND", "/files/a")
        assert await refused(shell, files={"a": "http://x/y"}) == ("E_VALUE", "/files/a")
        assert await refused(shell, files={"a/../b": "corral://t.csv"}) == ("E_PATH", "/files/a/../b")
        contents = [{"said": "m", "sha256": "9" * 64, "model": "m", "file": "w.bin"}]
        assert await refused(shell, models=["m"], contents=contents) == ("E_FIELD", "/contents")
        assert await refused(shell, contents=contents) == ("E_FIELD", "/contents")
        tasks = [
            {"command": ["a"], "files": {f"f{n}": f"file:///{n}/{m}" for n in range(60)}} for m in (1, 2)
        ]
        answer = await shell.ask("alice", "job.submit", tasks=tasks)
        assert answer["error"]["code"] == "E_TOO_MANY"


async def test_a_node_that_cannot_bring_it_is_no_place() -> None:
    async with running_shell() as shell:
        await registered(shell)
        await shell.agent("n1")
        answer = await shell.ask("alice", "job.submit", command=["true"], models=["m"])
        why = await shell.ask("alice", "task.why", target=str(answer["number"]))
        assert [blocker["code"] for blocker in why["blockers"]] == ["can:content"]
        assert NodeName("n1") in shell.cluster.nodes
