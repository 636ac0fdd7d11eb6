"""docs/errors.md out of `bus.codes`: `python -m tests.catalogue.document` writes it."""

from __future__ import annotations

from pathlib import Path

from bus.codes import CODES

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"

_HEAD = """# Errors

Every refusal, on every door, has one form. The command writes it to stderr:

```
error[E_CONSTRAINT]: not a pair at --label: got 'zone'; expected NAME=VALUE
hint: for example --label zone=a, --node n1
```

and, with `-o json`, on the bus and in dead letters, as an object:

| field | what it says |
|---|---|
| `code` | one of the codes below; stable |
| `message` | what is wrong |
| `field` | where: a JSON pointer into the request, an option of the command, or a header |
| `got` | what was found there, at most 80 characters, with nothing in it that a terminal obeys |
| `expected` | what would be right |
| `hint` | what to do |
| `status` | of the micro-service header `Nats-Service-Error-Code`; `Nats-Service-Error` holds the code |
| `retryable` | whether the same request may succeed later; `retry_after_s` says when to try |
| `request_id` | names the request in the coordinator's log and audit |
| `more` | further faults of the same request, in the same form: those of a job are told at once, up to 20 |

A refused request has changed nothing. `corral help E_CODE` shows an entry of this table.

## Codes

| code | status | exit | meaning | what to do |
|---|---|---|---|---|
"""


def draw() -> str:
    """The whole document."""
    rows = [
        f"| `{name}` | {code.status} | {code.exit} | {code.title}. {code.meaning} | {code.hint} |"
        for name, code in sorted(CODES.items())
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(draw())
