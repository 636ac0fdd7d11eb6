"""Completion: short scripts for the shells, and `corral __complete`, which answers them.

A script calls `corral __complete SHELL -- WORD...` with the words typed so far, the last one being completed.
The answer is a candidate a line, with a tab and a few words about it; `:files` alone asks for file names.
Nothing is ever said on stderr, and no cluster, or a slow one, means no ids.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from bus.errors import CorralError
from tui.cli import output
from tui.cli.diagnostics import Exit
from tui.cli.parser import TOPICS
from tui.cli.reference import Option, Verb, verbs

ANSWER_S = 1.0
"""Who presses tab waits no longer than this for ids."""

IDS_MAX = 50
FILES = ":files"

_CONNECTION = ("--data", "--url", "--credentials")
_LIVE_ONLY = frozenset({"cancel", "hold", "pause", "priority", "release", "requeue", "resume", "wait"})
_LIVE_FILTER = "state=pending,scheduled,running,paused"

SCRIPTS = {
    "bash": r"""# corral: completion for bash; put this into ~/.bashrc:  source <(corral completion bash)
_corral() {
    local line cur=${COMP_WORDS[COMP_CWORD]}
    local -a found
    mapfile -t found < <("${COMP_WORDS[0]}" __complete bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    if [[ ${found[0]-} == :files ]]; then
        compopt -o filenames 2>/dev/null
        [[ $cur == = ]] && cur=
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
    fi
    for line in "${found[@]}"; do
        COMPREPLY+=("${line%%$'\t'*}")
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _corral corral
""",
    "zsh": r"""#compdef corral
# corral: completion for zsh; put this into ~/.zshrc after compinit:  source <(corral completion zsh)
_corral() {
    local line
    local -a found shown
    found=("${(@f)$("${words[1]}" __complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == :files ]]; then
        _files
        return
    fi
    for line in "${found[@]}"; do
        [[ -n $line ]] && shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe corral shown
}
compdef _corral corral
""",
    "fish": r"""# corral: completion for fish; put this into config.fish:  corral completion fish | source
function __corral_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete fish -- $words[2..-1] 2>/dev/null)
    if test "$found[1]" = ':files'
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c corral -f -a '(__corral_complete)'
""",
}


class Candidate(Struct, frozen=True):
    """One way to go on."""

    word: str
    about: str = ""


Ids = Callable[[str, Verb, str, Namespace], Iterable[Candidate]]
"""Live ids: of a kind ("JOB", "TASK", "NODE"), for a verb, for the word so far, and where to ask."""


def complete(argv: Sequence[str]) -> int:
    """Answer `corral __complete SHELL -- WORD...`."""
    shell, words = argv[0] if argv else "", list(argv[2:])
    if shell == "bash":
        words = joined(words)
    current = words[-1] if words else ""
    found = candidates(words, live_ids)
    if found is None:
        output.lines([FILES])
    else:
        # bash takes the part behind the last "=" for the word, and replaces only that
        cut = current.rfind("=") + 1 if shell == "bash" else 0
        output.lines(f"{item.word[cut:]}\t{item.about}" for item in found if item.word.startswith(current))
    output.finish()
    return Exit.OK


def joined(words: Sequence[str]) -> list[str]:
    """Words of bash, which makes three of "--limit=5", as they were typed."""
    result: list[str] = []
    glue = False
    for word in words:
        if result and (word == "=" or (glue and word)):
            result[-1] += word
        else:
            result.append(word)
        glue = word == "="
    return result


def candidates(words: Sequence[str], ids: Ids) -> list[Candidate] | None:
    """What could stand for the last of `words`; None: a file name."""
    *before, current = words or [""]
    known = verbs()
    place = _verb_place(before)
    if place is None:
        options = [Candidate("--help"), Candidate("--version")] if current.startswith("-") else []
        return options or [Candidate(verb.name, verb.text) for verb in known]
    verb = next((item for item in known if before[place] in (item.name, *item.aliases)), None)
    if verb is None or "--" in before[place:]:
        return None if verb is not None else []
    where = _connection(before)
    flag, equals, value = current.partition("=")
    if flag.startswith("--") and equals:
        option = _option(verb, flag)
        found = None if option is None else _values(option, verb, value, ids, where)
        return found if found is None else [Candidate(f"{flag}={item.word}", item.about) for item in found]
    asked = _option(verb, before[-1]) if len(before) > place + 1 else None
    if asked is not None and asked.value:
        return _values(asked, verb, current, ids, where)
    if current.startswith("-"):
        return [_candidate(option) for option in verb.options if option.many or not _used(option, before)]
    argument = _argument(verb, before[place + 1 :])
    return [] if argument is None else _values(argument, verb, current, ids, where)


def live_ids(kind: str, verb: Verb, current: str, where: Namespace) -> list[Candidate]:
    """Ask the cluster; nothing where it does not answer at once."""
    try:
        from tui.cli.config import fill

        fill(where)
        return asyncio.run(_ask(kind, verb, current, where))
    except (CorralError, OSError, TimeoutError):
        return []


async def _ask(kind: str, verb: Verb, current: str, where: Namespace) -> list[Candidate]:
    from tui.cli.connect import client
    from tui.view.columns import task_name

    async with asyncio.timeout(ANSWER_S), client(where) as corral:
        if kind == "NODE":
            nodes = (await corral.nodes(limit=1000)).nodes
            return [Candidate(node.name, f"{node.health} {node.kind}") for node in nodes]
        job, dot, _ = current.partition(".")
        if dot and "TASK" in kind:
            tasks = (await corral.tasks(job, limit=IDS_MAX)).tasks
            return [Candidate(task_name(task), f"{task.state} {task.name}") for task in tasks]
        condition = _LIVE_FILTER if verb.name in _LIVE_ONLY else ""
        jobs = (await corral.jobs(filter=condition, limit=IDS_MAX)).jobs
        return [Candidate(str(job.number), f"{job.state} {job.name}") for job in jobs]


def _values(option: Option, verb: Verb, current: str, ids: Ids, where: Namespace) -> list[Candidate] | None:
    """What an option or argument can be given; None: a file name."""
    if option.choices:
        return [Candidate(choice) for choice in option.choices]
    match option.value:
        case "FILE" | "DIR" | "GLOB" | "-- COMMAND":
            return None
        case "JOB" | "TASK" | "JOB|TASK" | "NODE":
            return list(ids(option.value, verb, current, where))
        case "NAME" if option.flags == ("--node",):
            return list(ids("NODE", verb, current, where))
        case "STATE":
            return _listed(current, _field_choices(verb, "state"))
        case "A,B":
            return _listed(current, _columns(verb))
        case "COND":
            return _conditions(verb, current)
        case "FIELD":
            return [Candidate(f"{sign}{name}", about) for name, about in _fields(verb) for sign in ("", "-")]
        case "VERB|E_CODE|TOPIC":
            from bus.codes import CODES

            return [
                *(Candidate(item.name, item.text) for item in verbs()),
                *(Candidate(name, "topic") for name in TOPICS),
                *(Candidate(name, code.title) for name, code in CODES.items()),
            ]
        case _:
            return []


def _listed(current: str, words: Iterable[str]) -> list[Candidate]:
    """Words of a list with commas: the ones before the last stay."""
    head, comma, _ = current.rpartition(",")
    taken = set(head.split(","))
    return [Candidate(f"{head}{comma}{word}") for word in words if word not in taken]


def _conditions(verb: Verb, current: str) -> list[Candidate]:
    """Fields, or after "state=" the states, of the last condition of a filter."""
    head, blank, last = current.rpartition(" ")
    name, equals, values = last.partition("=")
    if equals:
        listed = _listed(values, _field_choices(verb, name))
        return [Candidate(f"{head}{blank}{name}={item.word}") for item in listed]
    return [Candidate(f"{head}{blank}{name}=", about) for name, about in _fields(verb)]


def _fields(verb: Verb) -> list[tuple[str, str]]:
    from bus import fields

    known = {
        "jobs": fields.JOB_FIELDS,
        "tasks": fields.TASK_FIELDS,
        "nodes": fields.NODE_FIELDS,
        "events": fields.EVENT_FIELDS,
    }
    return [(name, field.about) for name, field in known.get(verb.name, {}).items()]


def _field_choices(verb: Verb, name: str) -> tuple[str, ...]:
    from bus import fields

    known = {"tasks": fields.TASK_FIELDS, "nodes": fields.NODE_FIELDS, "events": fields.EVENT_FIELDS}
    field = known.get(verb.name, fields.JOB_FIELDS).get(name)
    return field.choices if field is not None else ()


def _columns(verb: Verb) -> list[str]:
    from tui.view import columns

    known: dict[str, list[str]] = {
        "jobs": [field.name for field in columns.JOB_FIELDS],
        "tasks": [field.name for field in columns.TASK_FIELDS],
        "nodes": [field.name for field in columns.NODE_FIELDS],
        "events": [field.name for field in columns.EVENT_FIELDS],
    }
    return known.get(verb.name, [])


def _verb_place(before: Sequence[str]) -> int | None:
    return next((place for place, word in enumerate(before) if not word.startswith("-")), None)


def _option(verb: Verb, flag: str) -> Option | None:
    return next((option for option in verb.options if flag in option.flags), None)


def _used(option: Option, before: Sequence[str]) -> bool:
    return any(flag in before for flag in option.flags)


def _candidate(option: Option) -> Candidate:
    return Candidate(option.flags[-1] if option.flags[-1].startswith("--") else option.flags[0], option.text)


def _argument(verb: Verb, typed: Sequence[str]) -> Option | None:
    """The argument that comes next, after those that were typed."""
    count = 0
    skip = False
    for word in typed:
        option = _option(verb, word.partition("=")[0])
        if skip or word.startswith("-"):
            skip = not skip and option is not None and bool(option.value) and "=" not in word
            continue
        count += 1
    arguments = verb.arguments
    if count < len(arguments):
        return arguments[count]
    return arguments[-1] if arguments and arguments[-1].many else None


def _connection(before: Sequence[str]) -> Namespace:
    """Where the line says the cluster is."""
    where = Namespace(data=None, url=None, credentials=None, output=None)
    for option, value in pairwise(before):
        if option in _CONNECTION:
            setattr(where, option.removeprefix("--"), value)
    return where
