"""The words of the command line on the screen one looks at: places, what is seen there, what can be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from textual.dom import DOMNode

from tui.screens.listing import ListScreen
from tui.screens.live import LiveScreen
from tui.screens.logs import logs_word
from tui.screens.openers import OPENERS, screen_of
from tui.settings import View, delete_view, save_view
from tui.theme.palettes import THEMES
from tui.view.modes import MODE_DIGITS
from tui.view.words import Word, WordError, choose

if TYPE_CHECKING:
    from tui.app import Console

SORTING = "sort_"
"""How the last part of the id of a key that sorts begins: `sort` does that."""


class Doable(Struct, frozen=True):
    """What a key would do now: its id, its action where that belongs, and how the key is written."""

    id: str
    about: str
    action: str
    node: DOMNode
    key: str

    @property
    def name(self) -> str:
        """Its word: the id without the screen."""
        return self.id.rpartition(".")[2]


def doables(screen: LiveScreen) -> list[Doable]:
    """What the keys of a screen would do now; what is not allowed is not among them."""
    found: dict[str, Doable] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.id and active.enabled:
            key = screen.app.get_key_display(binding)
            found.setdefault(
                binding.id, Doable(binding.id, binding.description, binding.action, active.node, key)
            )
    return list(found.values())


def words_of(console: Console, screen: LiveScreen) -> dict[str, Word]:
    """All words, by name. What the screen itself brings comes before the console's own."""
    deeds = {
        doable.name: doable
        for doable in doables(screen)
        if not doable.name.startswith(SORTING) and not doable.id.startswith("mode.")
    }
    words = [
        *_modes(console),
        logs_word(console),
        *_openers(console, screen),
        *_settings(console),
        *_lists(screen),
    ]
    known = {word.name: word for word in words}
    for name, doable in deeds.items():
        run = partial(console.do, doable)
        if name in known:
            known[name] = _with_bare(known[name], run)
        else:
            known[name] = Word(name=name, about=f"{doable.about}  ({doable.key})", run=_ignoring(run))
    known.update((word.name, word) for word in screen.words())
    return known


def _modes(console: Console) -> list[Word]:
    return [
        Word(name=mode, about=f"the screen of {mode}", run=_ignoring(partial(console.action_mode, mode)))
        for mode in MODE_DIGITS
        if mode in console.MODES
    ]


def _openers(console: Console, screen: LiveScreen) -> list[Word]:
    def opening(word: str) -> Callable[[str], Awaitable[None]]:
        async def run(target: str) -> None:
            if (opened := screen_of(f"{word} {target}".rstrip())) is not None:
                await console.push_screen(opened)

        return run

    async def check(takes: str, target: str) -> None:
        """That what is opened exists."""
        if "…" in takes:
            OPENERS["chart"].open(target)
            return
        if takes.startswith("FROM"):
            next(each for each in OPENERS.values() if each.takes == takes).open(target)
            return
        if target in takes.split("|"):
            return  # a word of the opener's own: "all"
        source = console.session.source
        if takes == "USER":
            choose(target, [user.name for user in (await source.users()).users], noun="user")
            return
        is_number = target.replace(".", "").isdigit()
        if takes == "TOOL":
            await source.tool(target)
        elif "NODE" in takes and not (is_number and "JOB" in takes):
            await source.node(target)
        elif "." in target and "TASK" in takes:
            await source.task(target)
        elif "JOB" in takes:
            await source.job(target)
        else:
            await source.task(target)

    return [
        Word(
            name=word,
            about=opener.about,
            run=opening(word),
            argument=opener.takes,
            choices=screen.targets,
            check=partial(check, opener.takes) if opener.takes else None,
        )
        for word, opener in OPENERS.items()
    ]


def _lists(screen: LiveScreen) -> list[Word]:
    if not isinstance(screen, ListScreen):
        return []
    fields = [column.sort for column in screen.listing.columns if column.sort]
    orders = [order for field in fields for order in (field, f"-{field}")]

    async def check_order(order: str) -> None:
        choose(order, orders, noun="order")

    return [
        Word(
            name="filter",
            about="only what the condition lets through; nothing: all",
            run=lambda condition: screen.seek(filter=condition),
            argument="CONDITION",
            bare=lambda: screen.seek(filter=""),
            check=screen.check_filter,
        ),
        Word(
            name="sort",
            about="by a field; -field the other way round",
            run=lambda order: screen.seek(sort=order),
            argument="FIELD",
            bare=lambda: screen.seek(sort=""),
            choices=lambda: orders,
            check=check_order,
        ),
    ]


def _settings(console: Console) -> list[Word]:
    def views() -> list[str]:
        names = sorted(console.settings.views)
        return [*names, "save ", *(f"delete {name}" for name in names)]

    async def check_theme(name: str) -> None:
        choose(name, list(THEMES), noun="theme")

    async def check_view(argument: str) -> None:
        """What is saved or deleted is so at once: here it can still be said what keeps it from it."""
        verb, _, name = argument.partition(" ")
        names = list(console.settings.views)
        if verb == "save" and name:
            save_view(console.settings_path, name, here(console))
        elif verb == "delete" and name:
            delete_view(console.settings_path, choose(name, names, noun="view"))
        else:
            choose(argument, names, noun="view")

    async def run_view(argument: str) -> None:
        if argument.startswith(("save ", "delete ")):
            console.wear_settings()
            console.notify(f"view {argument.partition(' ')[2]}: {argument.partition(' ')[0]}d", markup=False)
        else:
            await console.show_view(argument)

    return [
        Word(
            name="theme",
            about="other colours, now and from now on",
            run=console.choose_theme,
            argument="NAME",
            choices=lambda: list(THEMES),
            check=check_theme,
        ),
        Word(
            name="view",
            about="a list as it was saved; view save NAME keeps this one",
            run=run_view,
            argument="NAME",
            choices=views,
            check=check_view,
        ),
    ]


def here(console: Console) -> View:
    """What `view save` keeps. Raises WordError where one is not on a list of the main screens."""
    steps = console.place().steps
    if len(steps) != 1:
        raise WordError("only a main screen can be saved as a view; - leads back to it")
    return View(steps[0].line, steps[0].filter, steps[0].sort)


def _with_bare(word: Word, run: Callable[[], Awaitable[None]]) -> Word:
    if not word.argument:
        return word
    return replace(word, bare=word.bare or run)


def _ignoring(run: Callable[[], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
    """For words that take nothing."""

    async def runs(_: str) -> None:
        await run()

    return runs
