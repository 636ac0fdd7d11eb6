"""What a task can tell its cluster, by appending to files: no Corral, no network, any Python from 3.6.

    import corral_task                           # found by PYTHONPATH, which every task has
    corral_task.progress(45.5, loss=0.0023)      # per cent, and metrics if you like
    corral_task.metrics(step=1200, loss=0.0023)
    corral_task.log("no labels", level="warning")   # a row of the task's log: info, warning or error
    corral_task.output({"accuracy": 0.982})      # the task's result; the last one counts
    corral_task.submit({"command": ["true"]})    # a job of yours that belongs to this task
    corral_task.wait_children()                  # what became of those jobs, once all of them are over
    corral_task.artifact("model.bin")            # stored now; what is in CORRAL_ARTIFACTS, at the end
    corral_task.checkpoint("state", step=1200)   # a file or folder to go on from, if the job has `checkpoint`
    corral_task.resume()                         # (path, step) of what to go on from; None: from the start

From a shell: `python "$CORRAL_HELPER" progress 45.5`, `… metrics loss=0.0023 step=1200`,
`… output '{"a": 1}'`, `… log [--level warning] TEXT`, `… artifact FILE [NAME]`,
`… checkpoint PATH step=1200 loss=0.002 [--shard]`, `… submit '{"command": ["true"]}'`,
`… wait_children [SECONDS]` (a line of JSON a job; exits 0 where all completed, 1 where not, 124 where they
were not over in time).
Outside of a task everything is checked and nothing is told, so that a program runs alike. Errors are
ValueError for what could not be understood, OSError for files.
"""

import binascii
import contextlib
import json
import math
import os
import shutil
import sys
import time
from typing import Any

_POLL_S = 0.2

LEVELS = ("info", "warning", "error")


def progress(percent: float, **values: object) -> None:
    """How far the task is, 0 to 100; further arguments are metrics, `message` is a text."""
    percent = _number("progress", percent)
    if not 0 <= percent <= 100:
        raise ValueError(f"progress is 0 to 100, not {percent!r}")
    _tell(_line(values, progress=percent))


def metrics(**values: object) -> None:
    """Numbers by name; `step` is your own count of how far that was."""
    _tell(_line(values))


def log(text: str, level: str = "info") -> None:
    """A row of the task's log that is kept with its time: info, warning or error; 2,000 characters."""
    if level not in LEVELS:
        raise ValueError(f"level is info, warning or error, not {level!r}")
    _tell({"log": str(text), "level": level})


def output(value: object) -> None:
    """The result of the task: anything that JSON can say, at most 512 KiB."""
    _tell({"output": value})


def submit(job: object) -> None:
    """A job, as in a job file, at most 64 KiB; cancelling this task's job cancels it too."""
    if not isinstance(job, dict):
        raise ValueError("a job is a dict, such as {'command': ['true']}")
    _tell({"submit": job})


def wait_children(timeout: "float | None" = None) -> "list[dict[str, Any]]":
    """Wait until the jobs that this attempt submitted, and those that have a `dedupe_key`, are all over.

    A dict each, by number: `job`, `name`, `key` (its dedupe_key), `state` ("completed", "failed", "cancelled"
    or "refused": then `job` is None, and `reason` says why), `tasks`, `completed`, `failed`, `cancelled`,
    `exit_code`, `reason`. This task holds what it asked for all the while. Raises TimeoutError after
    `timeout` seconds, OSError on a node that cannot tell.
    """
    told, path = os.environ.get("CORRAL_RESULT"), os.environ.get("CORRAL_CHILDREN")
    if told is None:
        return []
    if path is None:
        raise OSError("this node's agent is of an older version, and cannot tell what became of jobs")
    place = os.path.getsize(told) if os.path.exists(told) else 0
    answer = _ask_of_children(path, place, timeout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return sorted(answer["children"], key=lambda child: child["job"] or 0)


def _ask_of_children(path: str, place: int, timeout: "float | None") -> "dict[str, Any]":
    """A new answer about what was submitted up to `place`, whoever of this task asked for it."""
    mine = f"{os.getpid()}-{binascii.hexlify(os.urandom(6)).decode()}"
    asked_at = path + ".ask"
    start = time.monotonic()
    before = _read_json(path).get("ask")
    try:
        while True:
            answer = _read_json(path)
            if answer.get("ask") not in (None, before) and answer["place"] >= place:
                return answer
            asked = _read_json(asked_at)
            if not asked or asked.get("ask") == answer.get("ask") or asked.get("place", 0) < place:
                _write_json(asked_at, {"ask": mine, "place": place})
            if timeout is not None and time.monotonic() >= start + timeout:
                raise TimeoutError(f"the jobs of this task were not over within {timeout:g} s")
            time.sleep(_POLL_S)
    finally:
        if _read_json(asked_at).get("ask") == mine:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(asked_at)


def artifact(path: str, name: "str | None" = None) -> str:
    """Copy a file into CORRAL_ARTIFACTS (unless it lies there) and have it stored now.

    Answers its name there.
    """
    folder = os.environ.get("CORRAL_ARTIFACTS")
    path = os.path.abspath(path)
    if folder is None:
        if not os.path.isfile(path):
            raise FileNotFoundError(path)
        return name or os.path.basename(path)
    inside = os.path.relpath(path, os.path.abspath(folder))
    if name is None:
        name = os.path.basename(path) if inside.startswith(os.pardir) else inside
    target = os.path.join(folder, name)
    if os.path.abspath(target) != path:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = f"{target}.part-{os.getpid()}"
        shutil.copyfile(path, part)
        os.rename(part, target)
    _tell({"artifact": name})
    return name


def checkpoint(path: str, *, step: int, shard: bool = False, **values: object) -> str:
    """Hand over a whole checkpoint, a file or folder; further arguments are metrics. Answers its place.

    What is not below CORRAL_CHECKPOINT_DIR yet is moved there, under a name with its step. `shard`: it is the
    part of this rank of a gang, and counts once all ranks have handed over theirs of that step.
    """
    step = int(step)
    if step < 0:
        raise ValueError(f"a step is 0 or more, not {step}")
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(path)
    line = _line(dict(values), checkpoint="", step=step)
    if shard:
        line["shard"] = True
    folder = os.environ.get("CORRAL_CHECKPOINT_DIR")
    if folder is None:
        return path
    folder = os.path.abspath(folder)
    if not path.startswith(folder + os.sep):
        ending = os.path.splitext(path)[1] if os.path.isfile(path) else ""
        target = os.path.join(folder, f"step-{step}{ending}")
        part = target + ".part"
        shutil.move(path, part)
        os.rename(part, target)
        path = target
    line["checkpoint"] = os.path.relpath(path, folder)
    _tell(line)
    return path


def resume() -> "tuple[str, int] | None":
    """The checkpoint that this attempt goes on from: its path, and its step."""
    path = os.environ.get("CORRAL_RESUME")
    return None if path is None else (path, int(os.environ["CORRAL_RESUME_STEP"]))


def _read_json(path: str) -> "dict[str, Any]":
    """Empty where nothing is there."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: str, value: object) -> None:
    part = path + ".part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(value, file)
    with contextlib.suppress(FileNotFoundError):  # another one of this task wrote just now: we come again
        os.rename(part, path)


def _line(values: "dict[str, Any]", **line: object) -> "dict[str, object]":
    if "message" in values:
        line["message"] = str(values.pop("message"))
    if values.get("step") is not None:
        line["step"] = int(values["step"])
    values.pop("step", None)
    if values:
        line["metrics"] = {name: _number(name, value) for name, value in values.items()}
    return line


def _number(name: str, value: "Any") -> float:
    number = float(value)  # of numpy and torch too
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number!r}: only finite numbers can be told")
    return number


def _tell(line: "dict[str, object]") -> None:
    text = json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    path = os.environ.get("CORRAL_RESULT")
    if path is None:
        return
    # One write of a file opened to append: lines of several processes do not mix.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def _waited(timeout: "float | None" = None) -> int:
    """The exit code of a shell that waits for children."""
    try:
        found = wait_children(timeout)
    except TimeoutError as error:
        sys.stderr.write(f"corral_task: {error}\n")
        return 124
    for child in found:
        sys.stdout.write(json.dumps(child) + "\n")
    return int(any(child["state"] != "completed" for child in found))


def main(words: "list[str]") -> int:
    """The words of a shell. Answers the exit code."""
    if len(words) == 2 and words[0] == "progress":
        progress(float(words[1]))
    elif len(words) >= 2 and words[0] == "metrics":
        metrics(**{name: float(value) for name, _, value in (word.partition("=") for word in words[1:])})
    elif len(words) == 2 and words[0] == "output":
        output(json.loads(words[1]))
    elif words[0:1] == ["log"] and len(words) >= 2:
        _log_words(words[1:])
    elif len(words) == 2 and words[0] == "submit":
        submit(json.loads(words[1]))
    elif len(words) in (1, 2) and words[0] == "wait_children":
        return _waited(*[_number("SECONDS", word) for word in words[1:]])
    elif len(words) in (2, 3) and words[0] == "artifact":
        artifact(*words[1:])
    elif len(words) >= 3 and words[0] == "checkpoint":
        pairs = dict(word.split("=", 1) for word in words[2:] if "=" in word)
        if "step" not in pairs:
            raise ValueError("say the step: step=1200")
        step = int(pairs.pop("step"))
        values = {name: float(value) for name, value in pairs.items()}
        checkpoint(words[1], step=step, shard="--shard" in words, **values)
    else:
        sys.stderr.write(__doc__ + "\n")
        return 2
    return 0


def _log_words(words: "list[str]") -> None:
    level = "info"
    if words[0] == "--level":
        if len(words) < 2:
            raise ValueError("say the level: --level warning")
        level, words = words[1], words[2:]
    if not words:
        raise ValueError("say what is to be logged")
    log(" ".join(words), level)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit(f"corral_task: {error}")
