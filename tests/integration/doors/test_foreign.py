"""Clients that know nothing of Corral: a library of Node, bare text on a socket, the `nats` command.

Each prints its transcript (`pytest -s`); docs/clients.md shows the same calls.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

from bus.layout import Layout
from bus.values import Role
from tests.fixtures_cluster import LiveCluster
from tests.integration.doors.text_client import TextClient
from tests.not_here import not_here

SEMVER = re.compile(r"\d+\.\d+\.\d+")


async def output_of(*command: str, cwd: Path | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    print(f"$ {' '.join(command)}\n{out.decode()}{err.decode()}")
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_library_of_another_language(cluster: LiveCluster, node_client: Path) -> None:
    credentials = Layout(cluster.folder).credentials("alice")
    out = await output_of(
        "node",
        str(node_client / "client.mjs"),
        *(cluster.nats.url, str(credentials), "_INBOX_alice", "alice"),
        cwd=node_client,
    )
    said: dict[str, list[Any]] = {}
    for line in out.splitlines():
        step = json.loads(line)
        said.setdefault(step["step"], []).append(step["said"])
    (submitted,) = said["submit"]
    assert submitted["tasks"] == 1
    assert said["feed"][0]["counts"]["completed"] == 1
    assert said["show"][0]["state"] == "completed" and said["show"][0]["exit_code"] == 0
    assert submitted["number"] in {job["number"] for job in said["list"][0]["jobs"]}
    assert re.fullmatch(r"hello from n[123]\n", said["logs"][0]["text"]) and said["logs"][0]["ended"]
    assert said["follow"][0]["subject"].startswith("corral.node.n")
    # a cache: put every few seconds, so nodes that have just come may be missing
    assert said["kv cluster"][0]["epoch"] == 1 and said["kv cluster"][0]["total_nodes"] <= 3
    assert said["kv job"][0]["name"] == "long" and said["kv job"][0]["user"] == "alice"
    assert said["kv heartbeat"][0]["health"] == "healthy"
    assert [(answer["tasks"], bool(answer["audit"])) for answer in said["cancel"]] == [(1, True)]
    assert [each["stream"] for each in said["publish"]] == ["CORRAL_SUBMISSIONS"] * 2
    assert said["published"] == [{"jobs": 1}]
    assert said["rejected"][0]["code"] == "E_FIELD" and "command" in said["rejected"][0]["hint"]
    refused = said["refused"][0]
    assert (refused["code"], refused["body"]["error"]["code"]) == ("404", "E_NOT_FOUND")
    assert refused["body"]["error"]["request_id"]
    check_discovery(said["ping"][0], said["info"][0], said["stats"][0])


def check_discovery(ping: dict[str, Any], info: dict[str, Any], stats: dict[str, Any]) -> None:
    """The fields that the protocol of micro services (its ADR 32) asks for."""
    for kind, each in (("ping", ping), ("info", info), ("stats", stats)):
        assert each["type"] == f"io.nats.micro.v1.{kind}_response"
        assert each["name"] == "corral" and SEMVER.match(each["version"]) and each["id"] == ping["id"]
        assert isinstance(each["metadata"], dict)
    assert isinstance(info["description"], str)
    assert {type(each["name"]) for each in info["endpoints"]} == {str}
    for endpoint in info["endpoints"]:
        assert endpoint["subject"].startswith("corral.u.*.") and "queue_group" in endpoint
        assert re.fullmatch(r"[A-Za-z0-9_-]+", endpoint["name"])
    submits = next(each for each in stats["endpoints"] if each["name"] == "job-submit")
    assert submits["num_requests"] >= 2 and submits["average_processing_time"] > 0
    refusals = next(each for each in stats["endpoints"] if each["name"] == "job-show")
    assert refusals["num_errors"] >= 1 and refusals["last_error"].startswith("404:")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stats["started"])


async def test_bare_text_on_a_socket(cluster: LiveCluster) -> None:
    """CONNECT, SUB, PUB, HPUB: all that a client is."""
    credentials = cluster.nats.authority.mint_user("bob", Role.USER)
    client = await TextClient.connect(cluster.nats.url, credentials.jwt, credentials.seed)
    try:
        await client.send(b"SUB _INBOX_bob.* 1")
        await client.send(b"SUB corral.feed.bob.> 2")
        await client.publish("corral.u.bob.job.submit", b'{"command": ["true"]}', reply="_INBOX_bob.1")
        _, _, body = await client.message("_INBOX_bob.1")
        number = json.loads(body)["number"]
        await client.message(f"corral.feed.bob.job.{number}")
        await client.publish("corral.u.bob.job.show", b'{"job": "999999"}', reply="_INBOX_bob.2")
        _, headers, body = await client.message("_INBOX_bob.2")
        assert headers["Nats-Service-Error-Code"] == "404"
        assert headers["Nats-Service-Error"] == json.loads(body)["error"]["code"] == "E_NOT_FOUND"
        await client.publish(
            "corral.u.bob.publish",
            b'{"name": "text", "command": ["true"]}',
            reply="_INBOX_bob.3",
            headers={"Nats-Msg-Id": "text-1"},
        )
        _, _, body = await client.message("_INBOX_bob.3")
        assert json.loads(body)["stream"] == "CORRAL_SUBMISSIONS"
        await client.publish("corral.u.alice.job.list", b"{}", reply="_INBOX_bob.4")
        assert b"Permissions Violation" in await client.error()
    finally:
        await client.close()
        print("\n".join(client.transcript))


async def test_the_nats_command(cluster: LiveCluster) -> None:
    nats = shutil.which("nats")
    if nats is None:
        not_here("the nats command", "it is not on PATH")
    credentials = Layout(cluster.folder).credentials("alice")
    base = [nats, "--server", cluster.nats.url, "--creds", str(credentials), "--inbox-prefix", "_INBOX_alice"]
    out = await output_of(
        *base, "req", "--raw", "corral.u.alice.job.submit", '{"command": ["sh", "-c", "echo hello"]}'
    )
    number = json.loads(out)["number"]
    await output_of(*base, "pub", "corral.u.alice.publish", '{"name": "cli", "command": ["true"]}')
    shown = await output_of(
        *base, "req", "--raw", "corral.u.alice.job.show", json.dumps({"job": str(number)})
    )
    assert json.loads(shown)["number"] == number
    state = await output_of(*base, "kv", "get", "corral_cluster", "state", "--raw")
    assert json.loads(state)["total_nodes"] == 3
    assert "corral" in await output_of(*base, "micro", "list")
