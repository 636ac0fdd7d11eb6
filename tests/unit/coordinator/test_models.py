"""Models at the coordinator's doors: versions that stay what they are, and who may remove them."""

from __future__ import annotations

from typing import Any

import pytest

from bus.messages import OpenStream, StreamReply
from bus.models import parse_reference, variable
from tests.unit.coordinator.shell import Shell, running_shell

ONE, TWO = "1" * 64, "2" * 64


async def register(shell: Shell, user: str = "alice", **fields: Any) -> dict[str, Any]:
    asked = {"name": "resnet", "version": "1.0", "artifact": "w"} | fields
    answer: dict[str, Any] = await shell.ask(user, "model.register", **asked)
    return answer


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        *(({"name": name}, "E_NAME", "/name") for name in ("", "-x", "A", "a/b", "ä", "x" * 101, "a\n")),
        *(({"version": text}, "E_VALUE", "/version") for text in ("", "@", "1 0", "v" * 51, "1\n")),
        ({"tags": ["ok", "no t"]}, "E_VALUE", "/tags/1"),
        ({"tags": ["t"] * 33}, "E_TOO_MANY", "/tags"),
        ({"metrics": {"": 1.0}}, "E_VALUE", "/metrics"),
        ({"metrics": {"a\x1b": 1.0}}, "E_VALUE", "/metrics"),
        ({"metrics": {str(n): 1.0 for n in range(101)}}, "E_TOO_MANY", "/metrics"),
        ({"config": {"a": "x" * 70_000}}, "E_TOO_LARGE", "/config"),
        ({"artifact": "nothing"}, "E_NOT_FOUND", "/artifact"),
    ],
    ids=ascii,
)
async def test_what_cannot_be_registered(fields: dict[str, Any], code: str, field: str) -> None:
    async with running_shell() as shell:
        shell.left.add("w", ONE, nodes=["n1"])
        error = (await register(shell, **fields))["error"]
        assert (error["code"], error["field"]) == (code, field)
        assert (await shell.ask("alice", "model.list"))["models"] == []


async def test_a_version_stays_what_it_is() -> None:
    async with running_shell() as shell:
        shell.left.add("w", ONE, nodes=["n1"])
        shell.left.add("other", TWO, nodes=["n1"])
        made = await register(shell, tags=["vision"], metrics={"accuracy": 0.9}, config={"depth": 50})
        assert made["sha256"] == ONE and made["url"] == f"corral://{ONE}"
        assert await register(shell, "olga") == made  # the same again is the same
        error = (await register(shell, artifact="other"))["error"]
        assert error["code"] == "E_NAME_CLASH" and "never changed" in error["message"]
        assert (await shell.ask("rita", "model.show", model="resnet"))["metrics"] == {"accuracy": 0.9}
        await shell.ask("alice", "model.remove", model="resnet@1.0")
        error = (await register(shell))["error"]
        assert error["code"] == "E_NAME_CLASH" and "removed" in error["message"]


async def test_a_bare_name_is_the_newest_version() -> None:
    async with running_shell() as shell:
        shell.left.add("w", ONE, nodes=["n1"])
        for version in ("2.0", "1.0"):
            await register(shell, version=version)
        assert (await shell.ask("alice", "model.show", model="resnet"))["version"] == "1.0"
        page = await shell.ask("alice", "model.list", name="resnet", limit=1)
        assert [one["version"] for one in page["models"]] == ["1.0"]
        rest = await shell.ask("alice", "model.list", name="resnet", cursor=page["next"])
        assert [one["version"] for one in rest["models"]] == ["2.0"] and rest["next"] == ""
        for limit in (0, 10_001):
            assert (await shell.ask("alice", "model.list", limit=limit))["error"]["code"] == "E_RANGE"
        for model, code in (("gone", "E_NOT_FOUND"), ("resnet@9", "E_NOT_FOUND"), ("a b", "E_VALUE")):
            assert (await shell.ask("alice", "model.show", model=model))["error"]["code"] == code


async def test_who_may_remove_what_nobody_uses() -> None:
    async with running_shell() as shell:
        shell.left.add("w", ONE, nodes=["n1"])
        await register(shell)

        async def refused(user: str, model: str = "resnet@1.0") -> str:
            answer = await shell.ask(user, "model.remove", model=model)
            return str(answer.get("error", {"code": ""})["code"])

        assert await refused("rita") == "E_FORBIDDEN"
        assert await refused("bob") == "E_FORBIDDEN"
        assert await refused("alice", "resnet") == "E_VALUE"
        shell.registered.used["resnet@1.0"] = [7]
        assert await refused("olga") == "E_CONFLICT"
        del shell.registered.used["resnet@1.0"]
        assert await refused("olga") == ""
        assert await refused("alice") == "E_NOT_FOUND"


async def test_its_content_comes_from_a_node_that_answers() -> None:
    async with running_shell() as shell:
        agent = await shell.agent("n1")
        agent.answer = lambda command: StreamReply(node="n1")
        shell.left.add("w", ONE, nodes=["gone", "n1"])
        await register(shell)
        for reference in ("resnet", "resnet@1.0"):
            answer = await shell.ask(
                "bob",
                "stream.open",
                kind="blob.get",
                params={"model": reference, "offset": 2},
            )
            assert answer["node"] == "n1"
        commands = [command for command in agent.commands if isinstance(command, OpenStream)]
        assert [command.params for command in commands] == [{"sha256": ONE, "offset": 2}] * 2
        answer = await shell.ask("bob", "stream.open", kind="blob.get", params={"model": "none"})
        assert answer["error"]["code"] == "E_NOT_FOUND"


def test_references_and_variables() -> None:
    assert parse_reference("resnet-50.v2") == ("resnet-50.v2", "")
    assert parse_reference("a@1.0+cu12") == ("a", "1.0+cu12")
    for text in ("", "@1", "a@", "a@1@2", "A", "a b", "../x", "a\n"):
        with pytest.raises(ValueError, match="VERSION"):
            parse_reference(text)
    assert variable("resnet-50.v2") == "CORRAL_MODEL_RESNET_50_V2"
