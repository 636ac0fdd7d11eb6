"""The digest of a checkpoint is of its files, whatever the order in which they are named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.checkpoints import SavedFile, digest

FILES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.builds(
            SavedFile,
            st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=8),
            st.sampled_from(["a" * 64, "b" * 64]),
            st.integers(0, 2**40),
        ),
    ),
    max_size=6,
)


@given(FILES, st.randoms(use_true_random=False))
def test_order_is_nothing(files: list[tuple[int, SavedFile]], random: object) -> None:
    mixed = list(files)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert digest(mixed) == digest(files)


@given(FILES, FILES)
def test_other_files_have_another(one: list[tuple[int, SavedFile]], two: list[tuple[int, SavedFile]]) -> None:
    assert (digest(one) == digest(two)) == (sorted(one, key=repr) == sorted(two, key=repr))
