"""Names in any script keep columns where they are: each line of a screen is as wide as the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from tests.tui.driving import opened, painted, showing
from tests.tui.test_shell import typed
from tui.client.fake import FakeCluster
from tui.view.modes import MODE_DIGITS

THAI = "วิเคราะห์ข้อมูล"
NAMES = (THAI, "日本語ジョブ", "e\u0301a\u0308o\u0302", "مهمة", "🚀👩\u200d🔬👍🏽", "a\tb\x1b[31mc", "ä" * 80)
SHOWN = (THAI, "日本語ジョブ", "🚀👩🔬👍", "a␉b␛[31mc")


def cells(text: str) -> int:
    """Terminal cells after Unicode's own tables (UAX 11): marks have none, wide letters two."""
    return sum(
        0 if unicodedata.category(sign) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


@pytest.fixture
def spoken(fake: FakeCluster) -> FakeCluster:
    """Jobs, tasks, events and users are called so, one after the other."""
    world = fake.world
    world.jobs = [
        replace(job, name=NAMES[-1 - place % len(NAMES)], user=NAMES[place % 3])
        for place, job in enumerate(world.jobs)
    ]
    world.events = [
        replace(event, message=NAMES[place % len(NAMES)], user=NAMES[place % 3])
        for place, event in enumerate(world.events)
    ]
    world.nodes = [
        replace(node, labels={"zone": NAMES[place % len(NAMES)]}, reason=NAMES[place % len(NAMES)])
        for place, node in enumerate(world.nodes)
    ]
    return fake


def uneven(pilot: Pilot[None]) -> list[tuple[int, str]]:
    """Lines that are not as wide as the terminal."""
    lines = painted(pilot).split("\n")
    return [(cells(line), line) for line in lines if cells(line) != pilot.app.size.width]


@pytest.mark.contract("S3.1")
@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["small", "wide"])
async def test_columns_stay_where_they_are_in_every_script(
    spoken: FakeCluster, size: tuple[int, int]
) -> None:
    async with opened(spoken, size=size) as pilot:
        await showing(pilot, "LIVE")
        for mode, digit in MODE_DIGITS.items():
            await pilot.press(digit)
            await showing(pilot, f" {mode} ")
            await pilot.pause()
            assert uneven(pilot) == [], mode
            if mode == "jobs":
                assert all(name in painted(pilot) for name in SHOWN), "Thai comes out as it went in"
        for line in ("tasks 40", "details 40", "gantt 40", "why 40.0") if size[0] > 100 else ("xray",):
            await typed(pilot, line)
            await pilot.pause()
            assert uneven(pilot) == [], line
        await pilot.press("3", "ctrl+p", *THAI[:2])
        await pilot.pause()
        assert uneven(pilot) == []


async def test_the_state_of_each_row_stands_in_one_column(spoken: FakeCluster) -> None:
    async with opened(spoken, size=(120, 40)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        lines = painted(pilot).split("\n")
        head = next(line for line in lines if " USER" in line)
        column = cells(head[: head.index("TASKS") + len("TASKS")])
        rows = [line for line in lines if any(name in line for name in SHOWN) and " › " not in line]
        table = [row for row in rows if row.lstrip("▌ ")[:1].isdigit()]
        assert len(table) > 3
        for row in table:
            ends = [
                cells(row[:at]) for at in range(len(row)) if row[at - 1 : at].isdigit() and row[at] == " "
            ]
            assert column in ends, row
