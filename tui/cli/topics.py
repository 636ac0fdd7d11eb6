"""What `corral help TOPIC` explains: things that several verbs have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tui.cli.parser import TOPICS


def topic(name: str) -> list[str]:
    """The text of one of `tui.cli.parser.TOPICS`."""
    return _TEXTS[name]()


def summary(name: str) -> str:
    """Its first line, without the name: what it is about."""
    return topic(name)[0].partition(": ")[2]


def _columns() -> list[str]:
    from tui.view import columns

    lists: tuple[tuple[str, Iterable[str]], ...] = (
        ("jobs", (field.name for field in columns.JOB_FIELDS)),
        ("tasks", (field.name for field in columns.TASK_FIELDS)),
        ("nodes", (field.name for field in columns.NODE_FIELDS)),
        ("events", (field.name for field in columns.EVENT_FIELDS)),
    )
    return [
        "columns: what --columns takes",
        "",
        "  corral jobs --columns number,name,state,runtime",
        "",
        "-o wide shows all of them.",
        "",
        *(f"{noun:<8}{', '.join(names)}" for noun, names in lists),
    ]


def _exit() -> list[str]:
    return [
        "exit: the codes that commands end with",
        "",
        "  0    done",
        "  1    the job failed",
        "  2    wrong usage",
        "  3    not found",
        "  4    not authenticated",
        "  5    forbidden",
        "  6    conflict",
        "  7    no node can ever run it, or over quota",
        "  69   unavailable: nobody answers",
        "  75   no answer, or no end, in time",
        "  78   a wrong setting",
        "  130  interrupted (ctrl-C)",
        "  141  the reader of a pipe went away",
        "",
        "run, and wait and submit --wait for a job of one task, end with the task's own code; 128+N where",
        "signal N ended it.",
    ]


def _filter() -> list[str]:
    from bus import fields

    def rows(noun: str, known: Mapping[str, fields.Field]) -> Iterable[str]:
        yield ""
        yield f"{noun}:"
        for name, field in known.items():
            choices = f" ({', '.join(field.choices)})" if field.choices else ""
            yield f"  {name:<12} {field.about}{choices}"

    return [
        "filter: the conditions of --filter, and the fields of --sort",
        "",
        "  corral jobs --filter 'state=failed,cancelled age<1d name~sweep'",
        "  corral nodes --filter 'free_gpus>=1 label.zone=a' --sort -free_memory",
        "",
        "A condition is a field, one of = != ~ !~ < <= > >= and a value, or several with commas between",
        "them. All conditions must hold. ~ is true where the text contains the value, whatever the case.",
        "Values with blanks or commas stand in quotes. user=me is who asks; none is what is absent.",
        *rows("jobs", fields.JOB_FIELDS),
        *rows("tasks", fields.TASK_FIELDS),
        *rows("nodes", fields.NODE_FIELDS),
        *rows("events", fields.EVENT_FIELDS),
    ]


def _ids() -> list[str]:
    return [
        "ids: how jobs, tasks and attempts are named",
        "",
        "  1042       job number 1042",
        "  1042.7     its task number 7, from 0; 1042 will do where a job has only one task",
        "  1042.7#2   the second attempt of that task",
        "  @last      your newest job; @last.7 its task 7",
        "  0198c2f4   the job whose id begins so; 8 characters or more, as many as make it unique",
        "",
        "-o name prints ids and nothing else:",
        "",
        "  corral jobs --filter 'state=pending age>1d' -o name --all | xargs -r corral cancel",
    ]


def _output() -> list[str]:
    return [
        "output: the forms of an answer",
        "",
        "  -o table   columns for people (the usual form)",
        "  -o wide    all columns",
        "  -o json    one JSON document",
        "  -o jsonl   one JSON object a line, as the answers come in",
        "  -o name    the ids only, for xargs",
        "",
        "Data goes to stdout; messages, progress and errors go to stderr (with -o json errors are JSON).",
        "Instants in JSON are RFC 3339 in UTC, amounts are cpu_millis, mem_mib and the like. Colours and cut",
        "columns are for terminals only; NO_COLOR turns the colours off. The setting `output` names another",
        "usual form (corral config explain output).",
        "",
        "Lists show at most --limit rows and say on stderr how to go on (--cursor); --all shows everything.",
    ]


def _time() -> list[str]:
    return [
        "time: how instants and durations are written",
        "",
        "  90, 90s, 1h30m, 2d    durations; 1-02:00:00 is a day and two hours, 02:30:00 two and a half hours",
        "  --since 10m           ten minutes ago",
        "  --since yesterday     from its midnight on, here; also today, now, 2026-11-22",
        "  --since 2026-11-22T10:00Z   an instant; without a zone it is meant in this machine's",
    ]


def _units() -> list[str]:
    return [
        "units: how amounts are written",
        "",
        "  --cpu 2, 0.5, 500m           cores and thousandths of cores",
        "  --memory 512, 512M, 4GiB    MiB without a unit; 4G, 4Gi, 4GiB are the same, 4GB is 4 * 10^9 bytes",
        "  --net 100Mbit, 1Gbit         bits a second",
    ]


_TEXTS: dict[str, Callable[[], list[str]]] = {
    "columns": _columns,
    "exit": _exit,
    "filter": _filter,
    "ids": _ids,
    "output": _output,
    "time": _time,
    "units": _units,
}
assert set(_TEXTS) == set(TOPICS)
