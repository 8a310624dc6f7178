"""The shuffle: a permutation, the same for any worker, that does not keep neighbours together."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.tokenization.shuffling import shuffled


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 600))
def test_it_is_a_permutation(seed, total):
    assert sorted(shuffled(seed, total, 0, total).tolist()) == list(range(total))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(1, 300), st.data())
def test_any_part_is_the_same_as_in_the_whole(seed, total, data):
    start = data.draw(st.integers(0, total))
    end = data.draw(st.integers(start, total))

    assert shuffled(seed, total, start, end).tolist() == shuffled(seed, total, 0, total)[start:end].tolist()


def test_another_seed_gives_another_order():
    orders = {tuple(shuffled(seed, 50, 0, 50).tolist()) for seed in range(100)}

    assert len(orders) == 100


def test_rows_end_up_anywhere_with_like_chances():
    total, seeds = 16, 4000
    positions = np.zeros((total, total), int)
    for seed in range(seeds):
        positions[np.arange(total), shuffled(seed, total, 0, total)] += 1

    expected = seeds / total
    chi_squared = ((positions - expected) ** 2 / expected).sum()
    # 225 degrees of freedom; beyond 330 less than once in a hundred thousand times.
    assert chi_squared < 330


def test_the_order_never_changes_between_versions():
    """A dataset that was shuffled once must be made again the same, years later."""
    assert shuffled(42, 10, 0, 10).tolist() == FIXED_ORDER


FIXED_ORDER = [9, 1, 6, 0, 2, 8, 7, 5, 3, 4]
