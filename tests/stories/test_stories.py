"""Each story goes as it is written. `REWRITE_STORIES=1` writes them anew: keep only what you understand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stories.story import Story

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_written(path: Path) -> None:
    written = path.read_text()
    played = Story().play(written)
    if os.environ.get("REWRITE_STORIES"):
        path.write_text(played)
    else:
        assert played == written


def test_there_are_stories() -> None:
    assert len(STORIES) >= 8
