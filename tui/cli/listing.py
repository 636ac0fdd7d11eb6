"""Lists: page after page from the coordinator, in the form and with the columns that were asked for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tui.cli import clock, output
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.options import LIMIT_MAX
from tui.client.clocks import Asked
from tui.view.fields import Field, UnknownField, cells, choose, columns

T = TypeVar("T")


class Page(Struct, Generic[T]):
    """Some rows; `next` is the cursor of those that follow, "" where there are none.

    `exact` False: there are more than `total`, nobody counted how many.
    """

    rows: Sequence[T]
    next: str = ""
    total: int | None = None
    states: dict[str, int] | None = None
    exact: bool | None = None


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """One kind of rows. `noun` heads them in JSON, `names` are what other verbs take (several, where a row
    stands for several), `size` is how many it stands for."""

    noun: str
    fields: tuple[Field[T], ...]
    names: Callable[[T], Iterable[str]]
    tone: Callable[[T], str]
    size: Callable[[T], int] = lambda row: 1


Fetch = Callable[[int, str], Awaitable[Page[T]]]
"""Asks for at most so many rows from a cursor on."""


async def show(
    listing: Listing[T], chosen: Sequence[Field[T]], arguments: Namespace, fetch: Fetch[T], *, corral: Asked
) -> int:
    """Print the rows that `--limit`, `--cursor` and `--all` ask for; says on stderr what was left out.

    `corral` tells what ages in a table are counted to.
    """
    pages = _pages(arguments, fetch)
    if arguments.output in ("jsonl", "name"):
        return await _stream(listing, arguments, pages)
    rows: list[T] = []
    last: Page[T] = Page(())
    async for last in pages:
        rows.extend(last.rows)
    if arguments.output == "json":
        known = {"next": last.next, "total": last.total, "exact": last.exact, "states": last.states}
        output.as_json(
            {listing.noun: rows} | {name: value for name, value in known.items() if value is not None}
        )
        return Exit.OK
    print_rows(listing, chosen, rows, now_s=await clock.now_s(corral, arguments))
    _tell_rest(arguments, last, sum(map(listing.size, rows)))
    return Exit.OK


def chosen_fields(listing: Listing[T], arguments: Namespace) -> tuple[Field[T], ...]:
    """The columns of `--columns`, or of the form of the answer. Raises CommandError."""
    form, names = arguments.output, arguments.columns
    if names and form not in ("table", "wide"):
        message = f"columns are for tables, -o {form} has its own form"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--columns")
    try:
        return choose(listing.fields, names or (), wide=form == "wide")
    except UnknownField as error:
        raise _unknown_column(error) from None


def print_rows(
    listing: Listing[T], chosen: Sequence[Field[T]], rows: Sequence[T], *, now_s: float, heads: bool = True
) -> None:
    """A table of rows that are here already; without `heads`, one that goes on."""
    output.table(
        columns(chosen),
        [cells(chosen, row, now_s=now_s) for row in rows],
        tones=[listing.tone(row) for row in rows],
        heads=heads,
    )


async def _stream(listing: Listing[T], arguments: Namespace, pages: AsyncIterator[Page[T]]) -> int:
    shown = 0
    last: Page[T] = Page(())
    async for last in pages:
        shown += sum(map(listing.size, last.rows))
        if arguments.output == "jsonl":
            output.as_json_lines(last.rows)
        else:
            output.lines(name for row in last.rows for name in listing.names(row))
            output.finish()
    _tell_rest(arguments, last, shown)
    return Exit.OK


async def _pages(arguments: Namespace, fetch: Fetch[T]) -> AsyncIterator[Page[T]]:
    page = await fetch(LIMIT_MAX if arguments.all else arguments.limit, arguments.cursor)
    yield page
    while arguments.all and page.next:
        page = await fetch(LIMIT_MAX, page.next)
        yield page


def _tell_rest(arguments: Namespace, last: Page[T], shown: int) -> None:
    if not last.next:
        return
    # where the list was begun in the middle, nobody counted what came before
    rest = last.total - shown if last.total is not None and not arguments.cursor else 0
    count = f"{rest:,}{'' if last.exact else '+'} more" if rest > 0 else "more"
    note(f"{count}: --cursor {last.next} goes on, --all shows everything")


def _unknown_column(error: UnknownField) -> CommandError:
    import difflib

    near = difflib.get_close_matches(error.name, error.allowed, n=1)
    return CommandError(
        "E_FIELD",
        "unknown column",
        exit=Exit.USAGE,
        field="--columns",
        got=repr(error.name[:80]),
        expected=", ".join(error.allowed),
        hint=f"did you mean {near[0]}?" if near else "corral help columns explains them",
    )
