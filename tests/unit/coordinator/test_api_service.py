"""The clients' door: exactly one answer to each request, in its own codec, and none to anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bus import api
from bus.api import OPERATIONS
from bus.codec import Codec
from bus.errors import RequestTimeout
from bus.limits import ANSWER_BYTES_MAX
from bus.transport import Message
from coordinator import loop as loop_module
from coordinator.store.errors import OutcomeUnknown, StoreUnavailable
from tests.unit.coordinator.shell import Shell, collect, running_shell, until


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def error_of(answer: Message, codec: Codec) -> Any:
    decode = msgspec.json.decode if codec is Codec.JSON else msgspec.msgpack.decode
    return decode(answer.data)["error"]


@pytest.mark.parametrize("codec", Codec)
async def test_an_answer_speaks_the_codec_of_its_request(shell: Shell, codec: Codec) -> None:
    answer = await shell.ask("alice", "job.submit", codec=codec, command=["true"])
    assert (answer["number"], answer["tasks"], answer["duplicate"]) == (1, 1, False)


@pytest.mark.parametrize(
    ("data", "codec", "code", "status"),
    [
        (b"", Codec.JSON, "E_EMPTY", 400),
        (b"hello", Codec.JSON, "E_JSON", 400),
        (b'{"command": ["ec', Codec.JSON, "E_JSON", 400),
        (b"[]", Codec.JSON, "E_TYPE", 400),
        (b"\xef\xbb\xbf{}", Codec.JSON, "E_JSON", 400),
        (b'{"command": ["\xe9"]}', Codec.JSON, "E_ENCODING", 400),
        (b'{"comand": ["true"]}', Codec.JSON, "E_FIELD", 422),
        (b'{"command": ["true"], "v": 99}', Codec.JSON, "E_VERSION", 400),
        (b"{" + b" " * 1024 * 1024 + b"}", Codec.JSON, "E_TOO_LARGE", 413),
        (b"\x81", Codec.MSGPACK, "E_MSGPACK", 400),
        (b"\x80" + b"\0" * 1024 * 1024, Codec.MSGPACK, "E_TOO_LARGE", 413),
        (b"\x90", Codec.MSGPACK, "E_TYPE", 400),
        (b"\x81\xa6comand\x01", Codec.MSGPACK, "E_FIELD", 422),
    ],
)
async def test_what_cannot_be_read_gets_one_error_with_headers(
    shell: Shell, data: bytes, codec: Codec, code: str, status: int
) -> None:
    answers = await collect(shell.client("alice"), "_INBOX_alice.>")
    answer = await shell.raw("alice", "job.submit", data)
    error = error_of(answer, codec)
    assert (error["code"], error["status"]) == (code, status)
    assert answer.headers["Nats-Service-Error-Code"] == str(status)
    assert answer.headers["Nats-Service-Error"] == code
    await shell.ask("alice", "cluster.status")
    assert len(answers) == 2
    assert not shell.store.batches and not shell.cluster.jobs


async def test_an_unknown_operation_is_named(shell: Shell) -> None:
    answer = await shell.raw("alice", "job.fly", b"{}")
    error = error_of(answer, Codec.JSON)
    assert (error["code"], error["status"]) == ("E_SUBJECT", 404) and "job.submit" in error["hint"]


async def test_all_faults_of_a_spec_come_at_once(shell: Shell) -> None:
    answer = await shell.ask("alice", "job.submit", command=[], priority=11)
    error = answer["error"]
    assert {error["code"], *(more["code"] for more in error["more"])} == {"E_COMMAND", "E_RANGE"}
    assert error["status"] == 422 and not shell.store.batches


@pytest.mark.parametrize("reply", ["_INBOX_bob.x", "corral.node.n1.command", "_INBOX_alicex.y", ""])
async def test_nothing_is_answered_outside_the_senders_inbox(shell: Shell, reply: str) -> None:
    client = shell.client("alice")
    seen = await collect(shell.client("bob"), reply or "_INBOX_bob.>")
    await client.publish("corral.u.alice.job.submit", b'{"command": ["true"]}', reply=reply)
    await shell.ask("bob", "cluster.status")
    assert not [message for message in seen if message.subject == reply]
    assert not shell.store.batches


async def test_the_payload_does_not_say_who_asks(shell: Shell) -> None:
    answer = await shell.raw("alice", "job.submit", b'{"command": ["true"], "user": "adam"}')
    assert error_of(answer, Codec.JSON)["code"] == "E_FIELD"


async def test_a_name_that_is_none_gets_nothing(shell: Shell) -> None:
    client = shell.client("alice")
    with pytest.raises(RequestTimeout):
        await client.request("corral.u.ALICE.job.list", b"{}", timeout_s=0.05)


# when something is away


async def test_reads_without_a_database_say_try_again(shell: Shell) -> None:
    shell.reads.fault = StoreUnavailable("gone fishing")
    error = (await shell.ask("alice", "job.list"))["error"]
    assert (error["code"], error["status"], error["retry_after_s"]) == ("E_UNAVAILABLE", 503, 1.0)
    assert "gone fishing" in error["message"]


async def test_submissions_without_a_database_are_refused_at_once(shell: Shell) -> None:
    shell.store.faults.extend([OutcomeUnknown("broken")] * 3)
    first = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
    await until(lambda: not shell.performer.available)
    for operation, request in (("job.submit", {"command": ["true"]}), ("job.cancel", {"target": "1"})):
        error = (await shell.ask("bob", operation, **request))["error"]
        assert error["status"] == 503 and error["retry_after_s"]
    assert (await first)["number"] == 1


async def test_reads_behind_a_commit_that_hangs_say_try_again(shell: Shell, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop_module, "BARRIER_S", 0.01)
    shell.store.gate.clear()
    first = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
    await until(lambda: shell.store.tried)
    for operation in ("job.list", "node.list", "cluster.status"):
        assert (await shell.ask("alice", operation))["error"]["status"] == 503
    shell.store.gate.set()
    assert (await first)["number"] == 1


async def test_a_full_queue_says_try_again_and_forgets_the_asker(shell: Shell, monkeypatch: Any) -> None:
    number = await shell.submit()
    monkeypatch.setattr(loop_module, "EVENTS_MAX", 0)
    for operation, request in (
        ("job.submit", {"command": ["true"]}),
        ("job.cancel", {"target": str(number)}),
    ):
        assert (await shell.ask("alice", operation, **request))["error"]["status"] == 503
    assert not shell.replies._waiting


async def test_a_bug_is_one_line_for_the_asker_and_a_traceback_for_us(shell: Shell, caplog: Any) -> None:
    shell.reads.fault = ZeroDivisionError("secret detail")
    error = (await shell.ask("alice", "job.list"))["error"]
    assert (error["code"], error["status"]) == ("E_INTERNAL", 500)
    assert "secret" not in error["message"] and "ZeroDivisionError" in caplog.text


async def test_an_answer_that_cannot_be_sent_is_only_logged(shell: Shell, caplog: Any) -> None:
    shell.wire.set_connected(False)
    await shell.api._serve(Message("corral.u.alice.cluster.status", b"{}", "_INBOX_alice.x"))
    shell.wire.set_connected(True)
    assert "answer to _INBOX_alice.x lost" in caplog.text


async def test_stopping_finishes_what_was_begun(shell: Shell) -> None:
    shell.store.gate.clear()
    work = asyncio.create_task(shell.ask("alice", "job.list"))
    submission = asyncio.create_task(shell.ask("alice", "job.submit", command=["true"]))
    await until(lambda: shell.store.tried)
    read = asyncio.create_task(shell.ask("alice", "job.list"))
    await until(lambda: shell.loop._barriers)
    stopping = asyncio.create_task(shell.api.stop())
    shell.store.gate.set()
    await asyncio.gather(work, submission, read, stopping)
    with pytest.raises(Exception, match="nobody listens"):
        await shell.ask("alice", "job.list")
    await shell.api.start()


# discovery


async def test_the_service_is_found_and_counts(shell: Shell) -> None:
    client = shell.client("alice")
    ping = msgspec.json.decode((await client.request("$SRV.PING", b"", timeout_s=5)).data)
    assert (ping["name"], ping["version"]) == ("corral", "1.2.3")
    info = msgspec.json.decode((await client.request("$SRV.INFO.corral", b"", timeout_s=5)).data)
    assert {endpoint["subject"] for endpoint in info["endpoints"]} == {
        f"corral.u.*.{name}" for name in OPERATIONS
    }
    await shell.ask("alice", "cluster.status")
    await shell.ask("nobody", "cluster.status")
    await shell.raw("alice", "job.fly", b"{}")
    stats = msgspec.json.decode((await client.request("$SRV.STATS", b"", timeout_s=5)).data)
    (status,) = [each for each in stats["endpoints"] if each["name"] == "cluster-status"]
    assert (status["num_requests"], status["num_errors"]) == (2, 1)
    # not what the refusal says: anybody may read this
    assert status["last_error"] == "401:E_AUTH"


async def test_an_answer_that_no_message_holds_is_refused(shell: Shell) -> None:
    """Trying again, as for a lost connection, would not help."""

    async def endless(query: Any, *, viewer: Any) -> api.Jobs:
        return api.Jobs(jobs=[], next="x" * ANSWER_BYTES_MAX)

    shell.lists.jobs = endless  # type: ignore[method-assign]
    error = (await shell.ask("alice", "job.list"))["error"]
    assert (error["code"], error["status"]) == ("E_TOO_LARGE", 413) and "/limit" in error["hint"]


async def test_requests_of_one_asker_do_not_wait_for_each_other(shell: Shell) -> None:
    """Slow reads take slots, not the door."""
    release = asyncio.Event()
    shown = shell.lists.jobs

    async def slow(query: Any, *, viewer: Any) -> Any:
        await release.wait()
        return await shown(query, viewer=viewer)

    shell.lists.jobs = slow  # type: ignore[method-assign]
    waiting = [asyncio.create_task(shell.ask("alice", "job.list")) for _ in range(20)]
    assert "total_nodes" in await shell.ask("alice", "cluster.status")
    release.set()
    assert all("jobs" in answer for answer in await asyncio.gather(*waiting))
