"""A few of the fuzzer's pictures; `tests/fuzz/pictures.py` makes as many as one likes."""

from __future__ import annotations

from helpers_fuzz import script


def test_no_mutated_picture_ends_in_a_bare_error(recwarn):
    counts, wrong = script("pictures").fuzz(20, 1)
    assert not wrong
    assert counts["left out"] + counts["refused"] > 3
