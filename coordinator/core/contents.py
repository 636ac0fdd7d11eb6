"""What the tasks of a job find as files before they start. Pure; see `bus.contents`.

A job's words were looked up when it was submitted (`JobSpec.contents`); here they become places below the
folder of an attempt: `models/<name>/<file>`, `files/<name>`. Nodes that have the content already are
preferred: what must be brought costs a point a GiB, so a wish of weight 1 outweighs less than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from bus.artifact_names import NameFault, check_name, clash_key
from bus.contents import (
    BUCKETS,
    CONTENT,
    FILES_FOLDER,
    MODELS_FOLDER,
    NODE_FILES,
    Content,
    Scheme,
    parse_pointer,
)
from bus.models import parse_reference, variable
from bus.refusal import quote
from bus.spec import JobSpec, TaskSpec
from bus.values import NodeName, TaskSettings
from coordinator.core.effects import Fault
from coordinator.core.preferences import WEIGHT_MAX
from coordinator.core.scheduler.wishes import Held, Wishes

CONTENTS_MAX = 100
BY_SCHEME = {Scheme.FILE: NODE_FILES, Scheme.S3: BUCKETS}
GIB = 2**30


def words(spec: JobSpec) -> list[tuple[str, str, bool]]:
    """All that a job says of models (True) and files (False): path, word. None twice."""
    found: dict[tuple[str, bool], str] = {}
    entries: list[tuple[str, JobSpec | TaskSpec]] = [("", spec)]
    entries += [(f"/tasks/{place}", task) for place, task in enumerate(spec.tasks or ())]
    for path, entry in entries:
        for place, word in enumerate(entry.models or ()):
            found.setdefault((word, True), f"{path}/models/{place}")
        for name, word in (entry.files or {}).items():
            found.setdefault((word, False), f"{path}/files/{name}")
    return [(path, word, is_model) for (word, is_model), path in found.items()]


def _check(spec: JobSpec | TaskSpec, path: str, faults: list[Fault]) -> None:
    models, files = spec.models or [], spec.files or {}
    if len(models) + len(files) > CONTENTS_MAX:
        got = f"{len(models) + len(files)}"
        faults.append(
            Fault(code="E_TOO_MANY", field=f"{path}/files", got=got, expected=f"at most {CONTENTS_MAX}")
        )
        return
    variables: dict[str, str] = {}
    for place, word in enumerate(models):
        field = f"{path}/models/{place}"
        try:
            name, _ = parse_reference(word)
        except ValueError as fault:
            faults.append(Fault(code="E_VALUE", field=field, got=quote(word), expected=str(fault)))
            continue
        if (before := variables.setdefault(variable(name), word)) is not word:
            message = f"its path would be told by the same variable as that of {before}"
            faults.append(Fault(code="E_NAME_CLASH", message=message, field=field, got=quote(word)))
    names: dict[str, str] = {}
    for name, word in files.items():
        field = f"{path}/files/{name[:80]}"
        try:
            check_name(name)
        except NameFault as fault:
            faults.append(Fault(code=fault.code, message=str(fault), field=field, got=quote(name)))
            continue
        if (before := names.setdefault(clash_key(name), name)) != name:
            message = f"not to be told from {before!r}"
            faults.append(Fault(code="E_NAME_CLASH", message=message, field=field, got=quote(name)))
        try:
            parse_pointer(word)
        except ValueError as fault:
            faults.append(Fault(code="E_VALUE", field=field, got=quote(word), expected=str(fault)))
    for folder in names:
        if inside := next((name for name in names if name.startswith(f"{folder}/")), None):
            message = f"{names[inside]!r} would lie in it, and it is a file"
            got = quote(names[folder])
            faults.append(Fault(code="E_NAME_CLASH", message=message, field=f"{path}/files", got=got))


def places(spec: JobSpec, task: TaskSpec) -> dict[str, Content]:
    """What a task finds below its folder, by relative path; its entry may leave it to the job."""
    known = _known(spec)
    found: dict[str, Content] = {}
    for word in (spec.models if task.models is None else task.models) or ():
        if (content := known.get((word, True))) is not None:
            found[f"{MODELS_FOLDER}/{content.model}/{content.file}"] = content
    for name, word in ((spec.files if task.files is None else task.files) or {}).items():
        if (content := known.get((word, False))) is not None:
            found[f"{FILES_FOLDER}/{name}"] = content
    return found


def features_of(contents: Mapping[str, Content]) -> tuple[str, ...]:
    """What the node of such a task must be able to."""
    schemes = {parse_pointer(each.url).scheme for each in contents.values() if each.url}
    wanted = [*([CONTENT] if contents else []), *sorted(BY_SCHEME[scheme] for scheme in schemes)]
    return tuple(f"can:{each}" for each in wanted)


def _known(spec: JobSpec) -> dict[tuple[str, bool], Content]:
    return {(each.said, bool(each.model)): each for each in spec.contents}


def faults(spec: JobSpec) -> list[Fault]:
    """All that is wrong with what a job says of models and files, and what nobody looked up."""
    found: list[Fault] = []
    _check(spec, "", found)
    for number, task in enumerate(spec.tasks or ()):
        _check(task, f"/tasks/{number}", found)
    known = _known(spec)
    for path, word, is_model in words(spec) if not found else ():
        if (word, is_model) not in known:
            message = "it was not looked up"
            found.append(Fault(code="E_NOT_FOUND", message=message, field=path, got=quote(word), status=404))
    return found


def nearby(settings: TaskSettings, wishes: Wishes | None, job: int) -> Wishes | None:
    """The wishes of a job, and to be where its content lies; None: it lies nowhere in particular."""
    found = held(settings.contents.values())
    return replace(wishes or Wishes(), held=found).of_job(job) if found else None


def held(contents: Iterable[Content]) -> tuple[Held, ...]:
    """Where the job would rather run, for what lies on some nodes."""
    by_holders: dict[tuple[NodeName, ...], int] = {}
    for each in contents:
        if each.nodes:
            nodes = tuple(sorted(NodeName(name) for name in set(each.nodes)))
            by_holders[nodes] = by_holders.get(nodes, 0) + each.size
    return tuple(Held(nodes, weight(size)) for nodes, size in sorted(by_holders.items()))


def weight(size: int) -> int:
    """The points that bringing `size` bytes costs: one a GiB begun, 100 at most."""
    return min(max(-(-size // GIB), 1), WEIGHT_MAX)
