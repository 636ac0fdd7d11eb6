"""The console's connection: what it says when there is none, how it comes back, what it hears meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from bus.api import JobChanged, NodeChanged, TaskCounts, Whoami
from bus.errors import ApiError, CorralError, DecodeError, Disconnected, Error, Forbidden, RequestTimeout
from bus.trust import LOGIN_HINT, expired
from bus.values import JobState, NodeAdmin, NodeHealth, Role
from tui.client import session as session_module
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Deltas, Offline, Online, Session, Update
from tui.view.refusals import OTHER_VERSION
from tui.widgets.heading import heading_text

WAIT_S = 10.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same paces, a hundred times faster."""
    for name in ("GATHER_S", "POLL_S", "RETRY_FIRST_S", "RETRY_MAX_S"):
        monkeypatch.setattr(session_module, name, getattr(session_module, name) / 100)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(World(seed=2, now_s=1_000.0, nodes=2, jobs=2))


def changed(number: int, *, completed: int) -> JobChanged:
    return JobChanged(
        number=number, state=JobState.RUNNING, counts=TaskCounts(total=9, completed=completed), at=1.0
    )


async def first(updates: AsyncGenerator[Update, None], kind: type[Update]) -> Update:
    """The next update of that kind; others are passed over."""
    async with asyncio.timeout(WAIT_S):
        async for update in updates:
            if isinstance(update, kind):
                return update
    raise AssertionError("updates never end")


async def listening(cluster: FakeCluster, updates: AsyncGenerator[Update, None]) -> None:
    """Until the session hears the feed."""
    while not cluster._watchers:
        await first(updates, Online)


async def test_there_is_nothing_to_ask_before_it_is_online(cluster: FakeCluster) -> None:
    session = Session(cluster.connect)
    with pytest.raises(Disconnected):
        _ = session.source
    async with aclosing(session.updates()) as updates:
        online = await first(updates, Online)
        assert isinstance(online, Online) and online.me.cluster == "demo"
        assert session.source is cluster


@pytest.mark.parametrize(
    ("now_s", "said"),
    [
        (0.0, ""),  # an older coordinator
        (10_000.0, ""),
        (10_003.0, ""),
        (9_000.0, "▲ clock here 16m ahead"),
        (10_042.0, "▲ clock here 42s behind"),
    ],
)
async def test_a_clock_that_is_off_is_told(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, now_s: float, said: str
) -> None:
    monkeypatch.setattr("time.time", lambda: 10_000.0)

    async def whoami() -> Whoami:
        return Whoami(user="ann", role=Role.USER, now=now_s)

    cluster.whoami = whoami  # type: ignore[method-assign]
    async with aclosing(Session(cluster.connect).updates()) as updates:
        online = await first(updates, Online)
    assert isinstance(online, Online)
    heading = heading_text(online, None, now_s=10_000.0, width=120).plain
    assert (said in heading) if said else ("clock" not in heading)


async def test_an_outage_has_one_beginning_and_ever_longer_pauses(cluster: FakeCluster) -> None:
    session = Session(cluster.connect)
    async with aclosing(session.updates()) as updates:
        await first(updates, Online)
        cluster.reachable = False
        told = [await first(updates, Offline) for _ in range(6)]
        with pytest.raises(Disconnected):
            _ = session.source
        cluster.reachable = True
        await first(updates, Online)
        cluster.reachable = False
        again = await first(updates, Offline)
    outages = [update for update in told if isinstance(update, Offline)]
    assert len({outage.since_s for outage in outages}) == 1
    assert not any(outage.refused or outage.hint for outage in outages)
    assert {outage.reason for outage in outages} == {"no server answers"}
    assert isinstance(again, Offline) and again.since_s > outages[0].since_s


async def test_pauses_double_up_to_a_bound(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def wait(event: asyncio.Event, *, timeout_s: float) -> None:
        pauses.append(timeout_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(session_module, "wait_for_event", wait)
    cluster.reachable = False
    async with aclosing(Session(cluster.connect).updates()) as updates:
        for _ in range(7):
            await first(updates, Offline)
    base, bound = session_module.RETRY_FIRST_S, session_module.RETRY_MAX_S
    assert pauses == [base, 2 * base, 4 * base, 8 * base, bound, bound]


async def test_hurry_does_not_wait_for_the_next_try(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "RETRY_FIRST_S", 1_000.0)
    session = Session(cluster.connect)
    cluster.reachable = False
    async with aclosing(session.updates()) as updates:
        await first(updates, Offline)
        cluster.reachable = True
        session.hurry()
        assert await first(updates, Online)


@pytest.mark.parametrize(
    ("error", "refused", "hint"),
    [
        pytest.param(expired("olga"), True, LOGIN_HINT, id="expired or revoked"),
        pytest.param(Forbidden("olga may not"), True, LOGIN_HINT, id="forbidden by the server"),
        pytest.param(
            ApiError(Error(code="E_AUTH", message="who?", status=401)), True, LOGIN_HINT, id="forbidden"
        ),
        pytest.param(
            ApiError(Error(code="E_FORBIDDEN", message="no", status=403, hint="ask an admin")),
            True,
            "ask an admin",
            id="forbidden, with the coordinator's own hint",
        ),
        pytest.param(
            ApiError(Error(code="E_UNAVAILABLE", message="soon", status=503)), False, "", id="unavailable"
        ),
        pytest.param(RequestTimeout("no answer"), False, "", id="no answer"),
        pytest.param(
            DecodeError([Error(code="E_ENUM", message="unknown role seer")]),
            False,
            OTHER_VERSION,
            id="another version",
        ),
    ],
)
async def test_a_refusal_says_what_helps(error: CorralError, refused: bool, hint: str) -> None:
    @asynccontextmanager
    async def connect() -> AsyncIterator[FakeCluster]:
        raise error
        yield

    async with aclosing(Session(connect).updates()) as updates:
        offline = await first(updates, Offline)
    assert isinstance(offline, Offline)
    assert (offline.refused, offline.hint) == (refused, hint)
    assert offline.reason


async def test_changes_are_gathered_and_the_newest_of_each_thing_counts(cluster: FakeCluster) -> None:
    async with aclosing(Session(cluster.connect).updates()) as updates:
        await listening(cluster, updates)
        for completed in range(5):
            cluster.change(changed(1, completed=completed))
        cluster.change(changed(2, completed=7))
        cluster.change(
            NodeChanged(node="n-0001", health=NodeHealth.HEALTHY, admin=NodeAdmin.DRAINING, at=1.0)
        )
        seen: dict[int, JobChanged] = {}
        nodes: dict[str, NodeChanged] = {}
        told = 0
        while 2 not in seen or not nodes:
            deltas = await first(updates, Deltas)
            assert isinstance(deltas, Deltas)
            seen |= deltas.jobs
            nodes |= deltas.nodes
            told += 1
    assert seen[1].counts.completed == 4 and seen[2].counts.completed == 7
    assert nodes["n-0001"].admin is NodeAdmin.DRAINING
    assert told < 7, "one word for many changes"


async def test_after_an_outage_the_feed_is_heard_again(cluster: FakeCluster) -> None:
    async with aclosing(Session(cluster.connect).updates()) as updates:
        await listening(cluster, updates)
        (before,) = cluster._watchers
        cluster.reachable = False
        await first(updates, Offline)
        cluster.reachable = True
        await first(updates, Online)
        while before in cluster._watchers:
            await first(updates, Online)
        await listening(cluster, updates)
        cluster.change(changed(1, completed=3))
        deltas = await first(updates, Deltas)
    assert isinstance(deltas, Deltas) and deltas.jobs[1].counts.completed == 3


async def test_without_the_feed_it_stays_online(cluster: FakeCluster) -> None:
    class Deaf(FakeCluster):
        async def watch(self, *, everyone: bool = False) -> AsyncGenerator[JobChanged, None]:  # type: ignore[override]
            raise Forbidden("no feed for you")
            yield

    deaf = Deaf(cluster.world)
    async with aclosing(Session(deaf.connect).updates()) as updates:
        for _ in range(3):
            assert await first(updates, Online)
