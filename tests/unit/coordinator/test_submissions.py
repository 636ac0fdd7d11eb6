"""Published submissions without JetStream: what becomes of each delivery, also while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.errors import ApiError, Disconnected, Error
from bus.jetstream import Submission
from bus.values import UserName
from coordinator import submissions
from coordinator.api.access import Access
from coordinator.loop import Overloaded
from coordinator.store.audit import Refused
from coordinator.store.errors import StoreUnavailable
from coordinator.store.published import Key
from coordinator.store.reads import DuplicateOf
from coordinator.submissions import Intake, message_key
from tests.unit.coordinator.shell import Shell, running_shell, until

ALICE = UserName("alice")


class FakeLine:
    """Delivers what the test puts in, and keeps what became of it."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[list[Submission]] = asyncio.Queue()
        self.fates: list[tuple[str, str]] = []  # (place, done | again | error code)
        self.lost: set[str] = set()  # places whose next acknowledgement does not get out

    async def open(self) -> None:
        return

    async def fetch(self, *, wait_s: float) -> list[Submission]:
        try:
            return await asyncio.wait_for(self.arrived.get(), 0.01)
        except TimeoutError:
            return []

    async def done(self, submission: Submission) -> None:
        if submission.place in self.lost:
            self.lost.remove(submission.place)
            raise Disconnected("no connection")
        self.fates.append((submission.place, "done"))

    async def retry(self, submission: Submission, *, delay_s: float) -> None:
        assert delay_s > 0
        self.fates.append((submission.place, "again"))

    async def reject(self, submission: Submission, error: Error) -> None:
        self.fates.append((submission.place, error.code))

    async def close(self) -> None:
        return


class FakeKeys:
    """The message keys of what the shell's store was given."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.fault: Exception | None = None

    def _jobs(self, field: str, keys: list[Key]) -> dict[Key, DuplicateOf]:
        if self.fault is not None:
            raise self.fault
        made = {
            (job.owner, getattr(job, field)): DuplicateOf(job.number, job.id, job.digest, job.tasks)
            for batch in self.shell.store.batches
            for job in batch.new_jobs
        }
        return {key: made[key] for key in keys if key in made}

    async def by_message(self, keys: list[Key]) -> dict[Key, DuplicateOf]:
        return self._jobs("message_key", keys)

    async def by_dedupe_key(self, keys: list[Key]) -> dict[Key, DuplicateOf]:
        return self._jobs("dedupe_key", keys)

    async def close(self) -> None:
        return


class FakeAudit:
    def __init__(self) -> None:
        self.rows: list[Refused] = []

    def refused(self, refusal: Refused) -> None:
        self.rows.append(refusal)


class Door:
    """An intake over the shell; `send` hands it one batch."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.line, self.keys, self.audit = FakeLine(), FakeKeys(shell), FakeAudit()
        made: Any = Intake(
            shell.bus,  # type: ignore[arg-type]
            Access(shell.reads),
            shell.jobs,
            self.keys,
            self.audit,  # type: ignore[arg-type]
            schedule=shell.schedule_desk.create,
        )
        made._line = self.line
        self.intake: Intake = made
        self.places = 0

    def message(self, body: bytes, *, message_id: str = "", user: str = "alice") -> Submission:
        self.places += 1
        return Submission(UserName(user), body, message_id, 1, f"{self.places}-0", "", {})

    async def send(self, *batch: Submission) -> list[str]:
        """What became of each, in its order."""
        self.line.fates.clear()
        await self.line.arrived.put(list(batch))
        await until(lambda: len(self.line.fates) >= len(batch))
        fates = dict(self.line.fates)
        return [fates[each.place] for each in batch]

    @property
    def jobs(self) -> int:
        return sum(len(batch.new_jobs) for batch in self.shell.store.batches)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with running_shell() as shell:
        made = Door(shell)
        running = asyncio.create_task(made.intake.run())
        yield made
        await made.intake.stop()
        await running


TRUE = b'{"command": ["true"]}'


async def test_each_message_is_a_job_and_each_key_one(door: Door) -> None:
    batch = [door.message(TRUE), door.message(TRUE), *(door.message(TRUE, message_id="a") for _ in range(3))]
    assert await door.send(*batch) == ["done"] * 5
    assert door.jobs == 3
    assert await door.send(*batch) == ["done"] * 5  # all delivered again
    assert door.jobs == 3


async def test_the_first_of_a_key_decides_about_the_others(door: Door) -> None:
    """Also within one batch; and a key whose first body was no job is still free."""
    other = b'{"command": ["false"]}'
    batch = [door.message(TRUE, message_id="a"), door.message(other, message_id="a")]
    assert await door.send(*batch) == ["done", "E_IDEM_CONFLICT"]
    bad = b'{"command": []}'
    batch = [door.message(bad, message_id="b"), door.message(TRUE, message_id="b")]
    assert await door.send(*batch) == ["E_COMMAND", "done"]
    named = b'{"command": ["true"], "dedupe_key": "k"}'
    clash = b'{"command": ["false"], "dedupe_key": "k"}'
    assert await door.send(door.message(named), door.message(named), door.message(clash)) == [
        *("done", "done"),
        "E_IDEM_CONFLICT",
    ]
    assert await door.send(door.message(named), door.message(clash)) == ["done", "E_IDEM_CONFLICT"]


@pytest.mark.parametrize(
    ("user", "body", "code"),
    [
        ("rita", TRUE, "E_FORBIDDEN"),
        ("sam", TRUE, "E_SUSPENDED"),
        ("nobody", TRUE, "E_AUTH"),
        ("alice", b"{", "E_JSON"),
        ("alice", b'{"command": ["true"], "after": [4711]}', "E_NOT_FOUND"),
    ],
)
async def test_rejects_are_audited_under_their_sender(door: Door, user: str, body: bytes, code: str) -> None:
    assert await door.send(door.message(body, user=user)) == [code]
    (row,) = door.audit.rows
    assert (row.actor, row.action, row.code) == (user, "publish", code)
    assert door.jobs == 0


@pytest.mark.parametrize("where", ["users", "keys", "commits"])
async def test_while_the_database_is_away_all_comes_again(door: Door, where: str) -> None:
    fault = StoreUnavailable("away")
    match where:
        case "users":
            door.shell.reads.fault = fault
        case "keys":
            door.keys.fault = fault
        case _:
            door.shell.performer._failing = True
    assert await door.send(door.message(TRUE), door.message(TRUE, message_id="a")) == ["again"] * 2
    assert door.jobs == 0 and not door.audit.rows
    door.shell.reads.fault = door.keys.fault = None
    door.shell.performer._failing = False
    assert await door.send(door.message(TRUE), door.message(TRUE, message_id="a")) == ["done"] * 2


async def test_nothing_is_acknowledged_before_its_commit(door: Door) -> None:
    door.shell.store.gate.clear()
    await door.line.arrived.put([door.message(TRUE)])
    await until(lambda: door.shell.store.tried)
    assert door.line.fates == []
    door.shell.store.gate.set()
    await until(lambda: door.line.fates)
    assert door.line.fates == [("1-0", "done")]


async def test_a_lost_acknowledgement_does_not_let_a_second_delivery_overtake_the_commit(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus fails for one of a batch while the other waits for its commit: had its next delivery been
    looked up before that, it would have become a second job."""
    monkeypatch.setattr(submissions, "PAUSE_S", 0.0)
    waits, repeated = door.message(TRUE, message_id="a"), door.message(TRUE, message_id="b")
    assert await door.send(repeated) == ["done"]
    door.line.fates.clear()
    door.line.lost = {repeated.place}
    door.shell.store.gate.clear()
    begun = len(door.shell.store.tried)
    for _ in range(2):
        await door.line.arrived.put([waits, repeated])
    await until(lambda: door.line.lost == set() and len(door.shell.store.tried) > begun)
    for _ in range(100):  # turns in which the second delivery could be taken too early
        await asyncio.sleep(0)
    door.shell.store.gate.set()
    await until(lambda: door.line.fates.count((waits.place, "done")) == 2)
    assert door.jobs == 2


async def test_the_next_batch_is_entered_while_one_is_committed(door: Door) -> None:
    """And what repeats a key that is not committed yet waits for it, by whichever of its two keys."""
    door.shell.store.gate.clear()
    named = b'{"command": ["true"], "dedupe_key": "k"}'
    first = [door.message(TRUE, message_id="a"), door.message(named)]
    await door.line.arrived.put(first)
    await until(lambda: door.shell.store.tried)
    await door.line.arrived.put([door.message(TRUE, message_id="b")])
    await until(lambda: door.intake._in_flight == 3)
    repeats = [door.message(TRUE, message_id="a"), door.message(named), first[0]]
    await door.line.arrived.put([*repeats, door.message(b'{"command": ["false"]}', message_id="b")])
    await until(door.line.arrived.empty)
    assert door.line.fates == []
    door.shell.store.gate.set()
    await until(lambda: len(door.line.fates) == 7)
    assert sorted(fate for _, fate in door.line.fates) == ["E_IDEM_CONFLICT", *["done"] * 6]
    assert door.jobs == 3 and not door.intake._claimed and door.intake._in_flight == 0


async def test_a_full_queue_takes_back_only_what_it_refused(door: Door, monkeypatch: Any) -> None:
    """What was entered before is answered; the rest comes again and is entered then, once."""
    enter = door.shell.jobs.enter

    def full(*arguments: Any, **named: Any) -> None:
        if named["message_key"] == "b":
            raise Overloaded("full")
        enter(*arguments, **named)

    monkeypatch.setattr(door.shell.jobs, "enter", full)
    batch = [door.message(TRUE, message_id=key) for key in "abc"]
    assert await door.send(*batch) == ["done", "again", "again"]
    monkeypatch.undo()
    assert await door.send(*batch) == ["done"] * 3
    assert door.jobs == 3


async def test_an_acknowledgement_that_is_lost_makes_no_second_job(door: Door, monkeypatch: Any) -> None:
    async def lost(submission: Submission, error: Error | None = None) -> None:
        raise Disconnected("gone")

    monkeypatch.setattr(door.line, "done", lost)
    monkeypatch.setattr(door.line, "reject", lost)
    batch = [door.message(TRUE, message_id="a"), door.message(b"{")]
    await door.line.arrived.put(batch)
    await until(lambda: door.jobs == 1 and not door.intake._claimed)
    monkeypatch.undo()
    assert await door.send(*batch) == ["done", "E_JSON"]
    assert door.jobs == 1


@pytest.mark.parametrize("wrong", ["two words", "é", "k" * 129, "a\x00b", "@1-2"])
def test_an_id_is_a_key_or_refused(wrong: str) -> None:
    """None can pass for a place in the stream."""
    with pytest.raises(ApiError) as caught:
        message_key(Submission(ALICE, b"", wrong, 1, "1-2", "", {}))
    assert (caught.value.error.code, caught.value.error.field) == ("E_KEY", "Nats-Msg-Id")


def test_without_an_id_the_place_is_the_key() -> None:
    assert message_key(Submission(ALICE, b"", "", 1, "1-2", "", {})) == "@1-2"
    assert message_key(Submission(ALICE, b"", "1-2", 1, "9-9", "", {})) == "1-2"
