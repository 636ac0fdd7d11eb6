"""What a task saves is taken, told until it is answered, and put back before its next attempt."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent import saver
from agent.blobs import BlobStore
from agent.core.keeping import Limits
from agent.core.model import Order, Work
from agent.saver import Saver
from agent.taking import CLUSTER
from bus.checkpointing import Checkpointing
from bus.checkpoints import ResumeAsked, ResumeReply, Saved, SavedFile, SavedReply
from bus.codec import decode_from_agent, encode
from bus.errors import ApiError, BusError, ErrorReply
from bus.memory import MemoryHub
from bus.refusal import refusal
from bus.transport import Message
from bus.values import AttemptRef, Resources, TaskSettings

FIRST, SECOND = AttemptRef(7, 0, 1), AttemptRef(7, 0, 2)
WAIT_S = 30.0


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class World:
    """A coordinator that says `reply` and `resume`, other nodes that have `elsewhere`, and one saver."""

    def __init__(self, folder: Path, hub: MemoryHub) -> None:
        self.folder = folder
        self.store = BlobStore(folder / "blobs", limits=Limits(keep_free=0))
        (folder / "tasks").mkdir(mode=0o700)
        self.hub, self.agent, self.coordinator = hub, hub.connect_agent("n1"), hub.connect_coordinator()
        self.saver = self.made()
        self.heard: list[Saved] = []
        self.reply: SavedReply | ApiError = SavedReply(id="1", complete=True)
        self.resume = ResumeReply()
        self.elsewhere: dict[str, bytes] = {}

    def made(self) -> Saver:
        """As after a start of the agent."""
        tasks, records = self.folder / "tasks", self.folder / "saves"
        return Saver(self.agent, "n1", tasks, records, self.store, fetch=self.fetch)

    async def fetch(self, attempt: AttemptRef, files: Sequence[SavedFile], pin: str) -> None:
        for file in files:
            with self.store.receive(file.size) as incoming:
                incoming.write(self.elsewhere[file.sha256])
                incoming.finish(pin=pin)

    async def on_request(self, message: Message) -> None:
        said = decode_from_agent(message.data)
        if isinstance(said, ResumeAsked):
            answer: ResumeReply | SavedReply | ErrorReply = self.resume
        else:
            assert isinstance(said, Saved)
            self.heard.append(said)
            answer = ErrorReply(error=self.reply.error) if isinstance(self.reply, ApiError) else self.reply
        await self.coordinator.publish(message.reply, encode(answer))

    def save(self, name: str, data: bytes, attempt: AttemptRef = FIRST) -> None:
        path = self.folder / "tasks" / "7" / f"0.{attempt.fence}.checkpoints" / name
        assert path.parents[name.count("/")].is_dir(), "prepare made its folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    async def until_heard(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < count:
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(saver, "INTERVAL_S", 0.01)
    monkeypatch.setattr(saver, "_SETTLE_POLL_S", 0.01)
    hub = MemoryHub(time.monotonic)
    made = World(tmp_path, hub)
    await made.coordinator.subscribe("corral.node.n1.saved", made.on_request)
    await made.coordinator.subscribe("corral.node.n1.resume", made.on_request)
    yield made
    made.store.close()


def order(attempt: AttemptRef = FIRST, **asked: object) -> Order:
    settings = TaskSettings(resources=Resources(), checkpoint=Checkpointing(**asked))  # type: ignore[arg-type]
    return Order(attempt=attempt, work=Work(settings=settings, command=("true",)))


async def test_a_task_that_saves_nothing_is_not_held_up(world: World) -> None:
    plain = Order(attempt=FIRST, work=Work(settings=TaskSettings(resources=Resources()), command=("true",)))
    assert await world.saver.prepare(plain) == {}
    assert not world.saver.holds(FIRST)
    await world.saver.settle(FIRST, emergency=False)
    assert not world.heard


async def test_what_is_saved_last_is_kept_before_the_end_is_told(world: World) -> None:
    env = await world.saver.prepare(order(interval_s=60.0))
    assert sorted(env) == ["CORRAL_CHECKPOINT_DIR", "CORRAL_CHECKPOINT_INTERVAL"]
    world.save("step-5/w", b"weights")
    assert world.saver.holds(FIRST)
    await world.saver.settle(FIRST, emergency=True)
    (said,) = world.heard
    assert (said.step, said.path, said.emergency) == (5, "step-5", True)
    assert said.files == (SavedFile("step-5/w", sha(b"weights"), 7),)
    assert world.store.pins(sha(b"weights")) == {CLUSTER}
    await world.saver.settle(FIRST, emergency=False)
    assert len(world.heard) == 1, "nothing is told twice"


@pytest.mark.parametrize("trouble", [SavedReply(code="E_UNAVAILABLE"), ApiError(refusal("E_UNAVAILABLE"))])
async def test_an_outage_only_delays(world: World, trouble: SavedReply | ApiError) -> None:
    await world.saver.prepare(order())
    world.save("step-1", b"one")
    world.reply = trouble
    work = asyncio.create_task(world.saver.settle(FIRST, emergency=False))
    await world.until_heard(2)
    assert not work.done() and "7.0" in world.saver.fault
    assert world.store.pins(sha(b"one")) == {"saved-7.0.1"}, "it is kept meanwhile"
    world.reply = SavedReply(id="1")
    await work
    assert world.saver.fault == "" and world.store.pins(sha(b"one")) == {CLUSTER}


async def test_an_end_waits_only_so_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saver, "SETTLE_MAX_S", 0.05)
    await world.saver.prepare(order())
    world.save("step-1", b"one")
    world.reply = SavedReply(code="E_UNAVAILABLE")
    await world.saver.settle(FIRST, emergency=False)
    world.reply = SavedReply(id="1")
    async with asyncio.timeout(WAIT_S):
        while world.store.pins(sha(b"one")) != {CLUSTER}:  # it goes on, and comes in time yet
            await asyncio.sleep(0.001)


async def test_what_does_not_count_any_more_is_let_go(world: World) -> None:
    await world.saver.prepare(order())
    world.save("step-1", b"one")
    world.save("step-2", b"two")
    world.reply = SavedReply(code="E_FENCED")
    await world.saver.settle(FIRST, emergency=False)
    assert world.store.pins(sha(b"one")) == world.store.pins(sha(b"two")) == frozenset()
    heard = len(world.heard)
    await world.saver.settle(FIRST, emergency=False)
    assert len(world.heard) == heard, "a stale attempt asks no more"


async def test_what_is_no_checkpoint_is_told_with_the_reason(world: World) -> None:
    await world.saver.prepare(order())
    world.save("final", b"x")
    await world.saver.settle(FIRST, emergency=False)
    (said,) = world.heard
    assert (said.path, said.code, said.files) == ("final", "E_VALUE", ())


async def test_the_next_attempt_finds_it_whole(world: World) -> None:
    data = b"weights of step 5"
    world.elsewhere[sha(data)] = data
    world.resume = ResumeReply(
        id="1", step=5, path="step-5", files=(SavedFile("step-5/w", sha(data), len(data)),)
    )
    env = await world.saver.prepare(order(SECOND))
    assert env["CORRAL_RESUME_STEP"] == "5"
    assert (Path(env["CORRAL_RESUME"]) / "w").read_bytes() == data
    assert world.store.pins(sha(data)) == frozenset()
    await world.saver.settle(SECOND, emergency=False)
    assert not world.heard, "what was put there is not saved again"


async def test_another_answer_than_was_asked_for_is_none(world: World) -> None:
    async def odd(message: Message) -> None:
        await world.coordinator.publish(message.reply, encode(SavedReply()))

    await world.coordinator.subscribe("corral.node.n2.resume", odd)
    tasks, records, bus = world.folder / "tasks", world.folder / "n2", world.hub.connect_agent("n2")
    other = Saver(bus, "n2", tasks, records, world.store, fetch=world.fetch)
    with pytest.raises(BusError, match="SavedReply"):
        await other.prepare(order(SECOND))


async def test_a_restarted_agent_goes_on_and_tidies_up(world: World) -> None:
    await world.saver.prepare(order())
    world.save("step-1", b"one")
    with world.store.receive(4) as incoming:  # taken, and not told before the agent died
        incoming.write(b"four")
        incoming.finish(pin="saved-7.0.1")
    (world.folder / "saves" / "odd.json").write_bytes(b"{}")
    (world.folder / "saves" / "9.0.1.json").write_bytes(b"damaged")
    (world.folder / "saves" / "9.0.1.json.part").write_bytes(b'{"fol')
    again = world.made()
    assert not (world.folder / "saves" / "9.0.1.json.part").exists()
    assert world.store.pins(sha(b"four")) == frozenset()
    assert again.holds(FIRST) and again.holds(AttemptRef(9, 0, 1)), "what is damaged is not forgotten"
    again.ending([FIRST, SECOND])
    running = asyncio.create_task(again.run())
    await world.until_heard(1)
    assert world.heard[0].emergency
    again.over(FIRST)
    async with asyncio.timeout(WAIT_S):
        while again.holds(FIRST):
            await asyncio.sleep(0.001)
    running.cancel()
    assert not (world.folder / "saves" / "7.0.1.json").exists()
    assert not list((world.folder / "tasks").glob("7/*"))
