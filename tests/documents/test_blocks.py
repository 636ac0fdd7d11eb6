"""The reader of documents itself, without a cluster."""

from __future__ import annotations

import os
from pathlib import Path

from tests.documents.blocks import Block, blocks, missing, run

TEXT = """
```sh
x=1 \\
  y=2
echo $x
```

```console
$ printf 'one two 17\\n'
one … 17
$ false                  # exits 1
```

```sh elsewhere
make up
```
"""


def read(tmp_path: Path) -> list[Block]:
    (tmp_path / "a.md").write_text(TEXT)
    return blocks(tmp_path / "a.md")


def test_blocks_are_found_with_their_words(tmp_path: Path) -> None:
    assert [(block.kind, block.tag) for block in read(tmp_path)] == [
        ("sh", ""),
        ("console", ""),
        ("sh", "elsewhere"),
    ]
    assert read(tmp_path)[2].has_commands


def test_commands_run_in_one_shell_and_are_compared(tmp_path: Path) -> None:
    first, second, _ = read(tmp_path)
    ran = run([*first.steps(), *second.steps()], cwd=tmp_path, environment=os.environ, timeout_s=10)
    assert [step.exit for step in ran] == [0, 0, 0, 1] == [step.step.exit for step in ran]
    assert ran[1].output.strip() == "1"
    assert not missing(ran[2])
    assert missing(ran[2]._replace(output="one two 18")) == ["one … 17"]
