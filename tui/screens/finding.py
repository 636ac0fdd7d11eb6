"""What the palette offers: places, screens, what can be done here, views, themes, the cluster's things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tui.modals.palette import Entry
from tui.screens.commanding import doables
from tui.screens.live import LiveScreen
from tui.screens.openers import screen_of
from tui.theme.palettes import THEMES
from tui.view.modes import MODE_DIGITS
from tui.view.places import Place, Step

if TYPE_CHECKING:
    from tui.app import Console

FOUND_MAX = 8
"""Of each kind: who sees none of what they mean types a letter more."""

PLACES_SHOWN = 5


def entries_of(console: Console, screen: LiveScreen) -> list[Entry]:
    """All but what the cluster holds; only what is allowed here and now."""
    modes = [
        Entry(mode, f"screen  ({digit})", partial(console.action_mode, mode))
        for mode, digit in MODE_DIGITS.items()
        if mode in console.MODES
    ]
    deeds = [
        Entry(f"{doable.about}", f"{doable.id}  ({doable.key})", partial(console.do, doable))
        for doable in doables(screen)
        if not doable.id.startswith("mode.")
    ]
    views = [
        Entry(f"view {name}", f"{view.mode} {view.filter}", partial(console.show_view, name))
        for name, view in sorted(console.settings.views.items())
    ]
    themes = [Entry(f"theme {name}", "colours", partial(console.choose_theme, name)) for name in THEMES]
    places = [place for place in console.history.recent() if len(place.steps) > 1 or place.steps[0].filter]
    return [*_entries(console, places[:PLACES_SHOWN]), *modes, *views, *deeds, *themes]


def places_of(console: Console) -> list[Entry]:
    """Where one was, the latest first."""
    return _entries(console, console.history.recent())


def _entries(console: Console, places: Sequence[Place]) -> list[Entry]:
    return [Entry(str(place), "visited lately", partial(console.go, place)) for place in places]


def ask_of(console: Console) -> Callable[[str], Awaitable[list[Entry]]]:
    """Asks for jobs by name or number, nodes, and users who have jobs. Raises CorralError."""

    async def ask(typed: str) -> list[Entry]:
        quoted = typed.replace("\\", "\\\\").replace('"', '\\"')
        source = console.session.source
        number = f"number={typed}" if typed.isdigit() else f'name~"{quoted}"'
        jobs, nodes, theirs = await asyncio.gather(
            source.jobs(filter=number, limit=FOUND_MAX),
            source.nodes(filter=f'name~"{quoted}"', limit=FOUND_MAX),
            source.jobs(filter=f'user~"{quoted}"', limit=10 * FOUND_MAX),
        )
        users = dict.fromkeys(job.user for job in theirs.jobs)
        return [
            *(
                Entry(
                    f"job {job.number} {job.name}", f"{job.state}, {job.user}", opening(f"job {job.number}")
                )
                for job in jobs.jobs
            ),
            *(
                Entry(f"node {node.name}", str(node.health), opening(f"node {node.name}"))
                for node in nodes.nodes
            ),
            *(Entry(f"user {user}", "their jobs", jobs_of(user)) for user in list(users)[:FOUND_MAX]),
        ]

    def opening(line: str) -> Callable[[], Awaitable[None]]:
        async def open_it() -> None:
            if (screen := screen_of(line)) is not None:
                await console.push_screen(screen)

        return open_it

    def jobs_of(user: str) -> Callable[[], Awaitable[None]]:
        quoted = user.replace("\\", "\\\\").replace('"', '\\"')
        return partial(console.go, Place((Step("jobs", f'user="{quoted}"'),)))

    return ask
