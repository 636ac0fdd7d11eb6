"""When something repeats: five cron fields in a zone, and the instants at which they fire.

Minute, hour, day of the month, month, day of the week, as Debian's cron reads them: `*`, lists, ranges,
steps, names (`mon`, `jan`), 0 and 7 for Sunday. Where both days are restricted either will do. In a zone with
summer time, what falls into the hour that is left out fires right after it, and what falls into the hour that
comes twice fires once.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import Struct

from bus.units import UnitError

TEXT_MAX = 256
EXPECTED = 'five fields: minute hour day month weekday, such as "30 4 * * mon-fri"'
_FIELDS = 5
_DAY_MISSING = "Bad day-of-month"
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Cron(Struct, frozen=True):
    """`fields`: the five; `zone`: in which they are meant, by its name of the time-zone database."""

    fields: str
    zone: str = "UTC"

    def next_after(self, at_s: float) -> float:
        """The first instant later than `at_s`, in seconds of the Unix epoch."""
        return next(CronSim(self.fields, self._local(at_s))).timestamp()

    def newest_until(self, at_s: float) -> float:
        """The last instant that is not later than `at_s`."""
        return next(CronSim(self.fields, self._local(at_s + 1.0), reverse=True)).timestamp()

    def _local(self, at_s: float) -> datetime:
        return datetime.fromtimestamp(at_s, _zone(self.zone))


def parse_cron(text: str, *, zone: str = "UTC") -> Cron:
    """Raises UnitError: E_CRON where the fields cannot be read or never fire, E_TIME without such a zone."""
    fields = _NAMED.get(text.strip().lower(), text.strip())
    if len(text) > TEXT_MAX or len(fields.split()) != _FIELDS:
        raise UnitError(text, EXPECTED, "E_CRON")
    try:
        where = _zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnitError(zone, "a zone such as UTC or Europe/Berlin", "E_TIME") from None
    try:
        next(CronSim(fields, datetime(2024, 1, 1, tzinfo=where)))
    except CronSimError as error:
        if str(error) == _DAY_MISSING and _is_sound(fields):
            raise UnitError(text, "a day that comes: it never fires", "E_CRON") from None
        raise UnitError(text, f"{EXPECTED}; {str(error).lower()}", "E_CRON") from None
    except StopIteration:
        raise UnitError(text, "a day that comes: it never fires", "E_CRON") from None
    return Cron(fields, zone)


def _is_sound(fields: str) -> bool:
    """Whether the day of the month would do in a longer month."""
    minute, hour, day, _, weekday = fields.split()
    try:
        CronSim(f"{minute} {hour} {day} * {weekday}", datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
