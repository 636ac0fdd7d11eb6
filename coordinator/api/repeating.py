"""A job with `cron`: when it repeats, and what each time is submitted."""

from __future__ import annotations

from msgspec.structs import replace

from bus.cron import Cron, parse_cron
from bus.errors import ApiError
from bus.refusal import refusal, refused_amount
from bus.spec import JobSpec
from bus.units import UnitError

_NOT_BOTH = ("after", "start_at", "dedupe_key")


def cron_of(spec: JobSpec) -> tuple[Cron, JobSpec]:
    """When `spec` repeats, and the job that each firing submits. Raises ApiError."""
    for field in _NOT_BOTH:
        if getattr(spec, field):
            message = f"cron and {field} exclude each other"
            raise ApiError(refusal("E_FIELD", message, field=f"/{field}"))
    try:
        cron = parse_cron(spec.cron or "", zone=spec.zone or "UTC")
    except UnitError as error:
        raise ApiError(refused_amount(error, "/cron" if error.code == "E_CRON" else "/zone")) from None
    return cron, replace(spec, cron=None, zone=None, overlap=None)
