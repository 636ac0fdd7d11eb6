"""Jobs whose `for_each` points to a list: what their tasks stand for, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bus.contents import KeptList
from bus.item_lists import BYTES_MAX, ItemList, ItemReader
from bus.messages import CommandReply, FromAgentReply, OpenStream, StreamReply, ToAgent
from bus.spec import JobSpec
from bus.streams import ByteStream
from bus.subjects import Direction, stream
from coordinator import item_lists
from coordinator.core.intake import Derived, derive
from coordinator.core.model import Cluster
from coordinator.core.rebuild import RebuildError, restore_job, restore_over
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell

WORD = "corral://names.txt"
NAMES = [f"/in/{number}" for number in range(1_500)]


def listed(*items: str) -> tuple[str, ItemList]:
    text = "\n".join(items).encode()
    reader = ItemReader()
    reader.feed(text)
    return hashlib.sha256(text).hexdigest(), reader.finish()


def submitted(pool: World, *items: str, **fields: Any) -> tuple[int, dict[str, ItemList]]:
    """The job's number, and its lists by hash."""
    sha256, content = listed(*items)
    fields = {"command": ["cat"], "for_each": WORD, "lists": {WORD: KeptList(sha256, content.count)}} | fields
    pool.number += 1
    lists = {sha256: content}
    pool.happen(replace(pool.submission(JobSpec(**fields)), lists=lists))
    return pool.number, lists


def test_each_task_gets_its_item_and_the_range_is_one_row(pool: World) -> None:
    job, lists = submitted(pool, *NAMES, max_parallel=2)
    rows = [new for new, _ in pool.mirror.tasks.values()]
    assert [(row.count, msgspec.json.decode(row.input)) for row in rows] == [
        (1_500, {"command": ["cat"], "for_each": 1_500})
    ]
    first = pool.schedule()
    assert [msgspec.json.decode(each.input or b"") for each in first] == [
        {"item": "/in/0"},
        {"item": "/in/1"},
    ]
    assert len(pool.mirror.tasks) == 3
    snapshot = pool.mirror.snapshot()
    (live,) = snapshot.jobs
    with pytest.raises(RebuildError, match="its list corral://names"):
        restore_job(Cluster(), live.job, live.change, snapshot.tasks)
    cluster = Cluster()
    restore_job(cluster, live.job, live.change, snapshot.tasks, lists=lists)
    assert essence(cluster)["states"] == essence(pool.cluster)["states"]
    (group,) = cluster.jobs[job].groups
    assert group.values is not None and group.values.listed is not None
    assert group.values.listed.at(1_234) == "/in/1234"


def test_a_job_that_is_over_comes_back_with_its_list(pool: World) -> None:
    job, lists = submitted(pool, "/a", "/b", retries=0)
    for placement in pool.schedule():
        pool.end(placement, exit_code=1)
    over = pool.mirror.over(job)
    with pytest.raises(RebuildError, match="is not there"):
        restore_over(over)
    again = restore_over(replace(over, lists=lists))
    assert (
        again.groups[0].values is not None
        and again.groups[0].values.listed == lists[again.groups[0].values.listed_as]
    )


def test_how_many_is_known_without_the_list() -> None:
    spec = JobSpec(command=["cat"], for_each=WORD, lists={WORD: KeptList("a" * 64, 7)})
    derived = derive(spec, "alice")  # type: ignore[arg-type]
    assert isinstance(derived, Derived) and derived.tasks == 7
    (fault,) = derive(JobSpec(command=["cat"], for_each=WORD), "alice")  # type: ignore[misc, arg-type]
    assert (fault.code, fault.field) == ("E_NOT_FOUND", "/for_each")


class Holder:
    """A node that sends content: `sends` by hash, or refuses with `code`."""

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self.sends: dict[str, bytes] = {}
        self.code = ""
        self.breaks = False
        self.opened: list[OpenStream] = []
        self._sending: list[asyncio.Task[None]] = []
        agent.answer = self._answer

    def _answer(self, command: ToAgent) -> FromAgentReply:
        if not isinstance(command, OpenStream):
            return CommandReply(node=self.agent.name)
        self.opened.append(command)
        if not self.code:
            self._sending.append(asyncio.create_task(self._send(command)))
        return StreamReply(node=self.agent.name, code=self.code, error=self.code and "so it is")

    async def _send(self, command: OpenStream) -> None:
        names = (command.user, self.agent.name, command.stream)
        end = ByteStream(self.agent.bus, stream(*names, direction=Direction.DOWN))

        async def take(message: Any) -> None:
            end.take(message.data)

        subscription = await self.agent.bus.subscribe(stream(*names, direction=Direction.UP), take)
        try:
            await end.write(self.sends[str(command.params["sha256"])])
            if self.breaks:
                await end.drain()
                end.reset("E_STREAM", "the disk is gone")
            else:
                await end.finish()
        finally:
            await end.leave()
            await subscription.unsubscribe()

    async def done(self) -> None:
        await asyncio.gather(*self._sending, return_exceptions=True)


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


@pytest.fixture
async def holder(shell: Shell) -> AsyncIterator[Holder]:
    made = Holder(await shell.agent())
    yield made
    await made.done()


def add(
    shell: Shell, holder: Holder, text: bytes, *, name: str = "names.txt", sends: bytes | None = None
) -> str:
    sha256 = hashlib.sha256(text).hexdigest()
    shell.left.add(name, sha256, nodes=["n1"])
    shell.left.found[-1].size = len(text)
    holder.sends[sha256] = text if sends is None else sends
    return sha256


async def ask(shell: Shell, **fields: Any) -> Any:
    return await shell.ask("alice", "job.submit", **({"command": ["cat"], "for_each": WORD} | fields))


async def refused(shell: Shell, **fields: Any) -> Any:
    return (await ask(shell, **fields))["error"]


async def test_a_list_is_read_once_and_kept(shell: Shell, holder: Holder) -> None:
    sha256 = add(shell, holder, "\n".join(NAMES).encode())
    assert (await ask(shell))["tasks"] == 1_500
    (opened,) = holder.opened
    assert (opened.user, opened.params["sha256"]) == ("alice", sha256), "with nobody's rights but the asker's"
    assert shell.listed.kept[sha256].at(1_499) == "/in/1499"
    assert (await ask(shell, for_each=f"corral://{sha256}"))["tasks"] == 1_500
    assert (
        await ask(
            shell,
            tasks=[{"command": ["a"], "for_each": WORD}, {"command": ["b"]}],
            command=None,
            for_each=None,
        )
    )["tasks"] == 1_501
    planned = await shell.ask("alice", "job.plan", command=["cat"], for_each=WORD)
    assert planned["tasks"] == 1_500
    outlook = await shell.ask("alice", "job.whatif", order="sjf", job={"command": ["cat"], "for_each": WORD})
    assert outlook["effect"]["tasks"] >= 0 and "error" not in outlook
    missing = {"command": ["cat"], "for_each": "corral://missing"}
    assert (await shell.ask("alice", "job.whatif", job=missing))["error"]["code"] == "E_NOT_FOUND"
    assert len(holder.opened) == 1, "it is with a live job"
    groups = [job.groups[0].values for job in shell.cluster.jobs.values()]
    assert len({id(values.listed) for values in groups if values is not None}) == 1, "once in memory"
    shell.cluster.jobs.clear()
    assert (await ask(shell))["tasks"] == 1_500 and len(holder.opened) == 1, "it is in the database"


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"for_each": "corral://nothing"}, "E_NOT_FOUND", "no such artifact"),
        ({"for_each": "*.txt"}, "E_VALUE", "invalid"),
        ({"for_each": "file:///etc/passwd"}, "E_VALUE", "invalid"),
        ({"for_each": "corral://"}, "E_VALUE", "invalid"),
        ({"lists": {WORD: {"sha256": "a" * 64, "items": 3}}}, "E_FIELD", "coordinator"),
        ({"for_each": ["a"], "lists": {"x": {"sha256": "a" * 64, "items": 3}}}, "E_FIELD", "coordinator"),
        ({"array": "0-3"}, "E_FIELD", "exclude"),
    ],
)
async def test_what_is_no_list(
    shell: Shell, holder: Holder, fields: dict[str, Any], code: str, said: str
) -> None:
    add(shell, holder, b"a\nb\n")
    error = await refused(shell, **fields)
    assert error["code"] == code and said in error["message"], error
    assert not shell.cluster.jobs


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (b"a\n\x1b[2Jb\n", "E_ARRAY", "names.txt, line 2: control characters in an item"),
        (b"a\n\xff\n", "E_ENCODING", "names.txt, line 2: not UTF-8"),
        (b"x" * 5_000, "E_ARRAY", "names.txt, line 1: an item is too long"),
        (b"\n\n", "E_ARRAY", "names.txt, no item in the list"),
        (b"a\n" * 1_000_001, "E_ARRAY", "names.txt, too many items in the list"),
    ],
    ids=["control", "not UTF-8", "long", "empty", "one more"],
)
async def test_a_list_that_is_bad_is_refused_with_its_line(
    shell: Shell, holder: Holder, text: bytes, code: str, message: str
) -> None:
    add(shell, holder, text)
    error = await refused(shell)
    assert (error["code"], error["message"], error["field"]) == (code, message, "/for_each")
    assert not shell.listed.kept and not shell.cluster.jobs


async def test_content_that_is_not_what_its_hash_says(shell: Shell, holder: Holder) -> None:
    add(shell, holder, b"a\nb\n", sends=b"a\nc\n")
    error = await refused(shell)
    assert (error["code"], error["field"]) == ("E_HASH", "/for_each") and "n1 has of names.txt" in error[
        "message"
    ]
    assert not shell.listed.kept


async def test_a_node_that_cannot_send_it(shell: Shell, holder: Holder) -> None:
    add(shell, holder, b"a\nb\n")
    holder.code = "E_NOT_FOUND"
    assert (await refused(shell))["code"] == "E_NOT_FOUND"
    holder.code, holder.breaks = "", True
    error = await refused(shell)
    assert (error["code"], error["retryable"]) == ("E_UNAVAILABLE", True) and "n1" in error["message"]
    shell.left.found[0].nodes = []
    assert (await refused(shell))["code"] == "E_UNAVAILABLE"


async def test_what_is_too_long_is_not_even_read(
    shell: Shell, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(shell, holder, b"a\nb\n")
    shell.left.found[0].size = BYTES_MAX + 1
    assert (await refused(shell))["code"] == "E_TOO_LARGE"
    tasks = [{"command": ["a"], "for_each": f"corral://{n}"} for n in range(17)]
    answer = await shell.ask("alice", "job.submit", tasks=tasks)
    assert answer["error"]["code"] == "E_TOO_MANY"
    assert not holder.opened
    shell.left.found[0].size = 4
    monkeypatch.setattr(item_lists, "PACKED_BYTES_MAX", 40)
    assert (await ask(shell))["tasks"] == 2
    add(shell, holder, "\n".join(NAMES).encode(), name="more.txt")
    error = await refused(shell, for_each="corral://more.txt")
    assert (error["code"], error["retryable"]) == ("E_TOO_MANY", True) and "live jobs" in error["message"]
