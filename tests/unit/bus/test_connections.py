"""What the server says of its connections becomes names and amounts; whatever it says, nothing breaks."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.connections import MOST, NotTold, connections
from bus.errors import Forbidden, NoResponders
from bus.transport import Message

NOW = "2026-11-22T07:10:25.148520479Z"


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


def seen(**other: Any) -> dict[str, Any]:
    return {
        "cid": 6, "ip": "10.0.0.7", "port": 54024, "start": "2026-11-22T07:00:25.129373038Z",
        "last_activity": "2026-11-22T07:10:15.148251019Z", "rtt": "2.077715ms", "in_msgs": 3, "out_msgs": 4,
        "in_bytes": 29, "out_bytes": 31, "subscriptions": 1, "pending_bytes": 5, "name": "corral console",
        "lang": "python3", "version": "2.16.0", "authorized_user": "UABC",
        "jwt": jwt(name="alice", nats={"tags": ["peer:user", "role:user"]}),
    } | other  # fmt: skip


class FakeServer:
    """Answers pages of `lines`, or raises `fault`."""

    def __init__(
        self, *lines: dict[str, Any], fault: Exception | None = None, total: int | None = None
    ) -> None:
        self.lines, self.fault, self.total = lines, fault, total
        self.asked: list[dict[str, Any]] = []

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> Message:
        if self.fault is not None:
            raise self.fault
        asked = json.loads(data)
        self.asked.append(asked)
        page = self.lines[asked["offset"] : asked["offset"] + asked["limit"]]
        total = len(self.lines) if self.total is None else self.total
        answer = {"data": {"now": NOW, "total": total, "connections": page}}
        return Message(subject, json.dumps(answer).encode())


async def told(*lines: dict[str, Any]) -> Any:
    return (await connections(FakeServer(*lines))).connections  # type: ignore[arg-type]


async def test_a_connection_is_known_by_the_jwt_that_the_server_checked() -> None:
    (one,) = await told(seen())
    assert (one.name, one.peer, one.program, one.address) == (
        "alice",
        "user",
        "corral console",
        "10.0.0.7:54024",
    )
    assert one.idle_s == pytest.approx(10.0, abs=0.01) and one.round_trip_ms == pytest.approx(2.077715)
    assert (one.bytes_in, one.bytes_out, one.messages_in, one.messages_out) == (29, 31, 3, 4)
    assert (one.pending_bytes, one.subscriptions) == (5, 1)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.###.c", jwt(), jwt(name=3), jwt(nats={"tags": 1})])
async def test_where_there_is_none_the_servers_own_name_stands(token: str) -> None:
    (one,) = await told(seen(jwt=token))
    assert (one.name, one.peer) == ("UABC", "")


async def test_addresses_durations_and_clients_without_a_name() -> None:
    v6, slow, early = await told(
        seen(ip="fd00::7", name="", start="2026-11-22T06:00:00Z"),
        seen(rtt="1m3.5s", start="2026-11-22T06:30:00Z"),
        seen(rtt="", last_activity="2026-11-22T08:00:00Z"),
    )
    assert (v6.address, v6.program) == ("[fd00::7]:54024", "python3 2.16.0")
    assert slow.round_trip_ms == 63_500 and early.round_trip_ms is None
    assert early.idle_s == 0.0


async def test_page_after_page_the_longest_first_up_to_a_bound() -> None:
    lines = [seen(port=number, start=f"2026-11-22T06:{59 - number % 60:02d}:00Z") for number in range(3000)]
    server = FakeServer(*lines)
    found = await connections(server)  # type: ignore[arg-type]
    assert found.total == 3000 and len(found.connections) == MOST
    assert [each.since for each in found.connections] == sorted(each.since for each in found.connections)
    offsets = [asked["offset"] for asked in server.asked]
    assert offsets == sorted(set(offsets)) and all(asked["auth"] for asked in server.asked)


async def test_those_who_leave_meanwhile_do_not_keep_us_asking() -> None:
    server = FakeServer(seen(), total=7)
    found = await connections(server)  # type: ignore[arg-type]
    assert (len(found.connections), found.total, len(server.asked)) == (1, 7, 2)


@pytest.mark.parametrize("fault", [Forbidden("no"), NoResponders("nobody")])
async def test_a_server_that_does_not_tell_is_named_so(fault: Exception) -> None:
    with pytest.raises(NotTold, match="does not say who is connected"):
        await connections(FakeServer(fault=fault))  # type: ignore[arg-type]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
async def test_any_answer_is_read_or_refused(data: bytes) -> None:
    class Anything:
        async def request(self, subject: str, asked: bytes, *, timeout_s: float) -> Message:
            return Message(subject, data)

    with pytest.raises(NotTold):
        await connections(Anything())  # type: ignore[arg-type]
