"""Counting keys in bounded memory, percentiles and histograms."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.text.statistics import histogram, percentiles
from mistudio_pipelines.text.word_counts import KeyCounter, total_up

small_keys = st.lists(st.integers(0, 40), max_size=60)


def as_keys(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(small_keys, st.booleans()), max_size=8), st.lists(small_keys, max_size=3), st.integers(1, 50))
def test_counts_are_exact_however_often_they_spill(tmp_path_factory, first, second, keys_in_memory):
    folder = tmp_path_factory.mktemp("spilled")
    left, right = KeyCounter(folder, "left", keys_in_memory), KeyCounter(folder, "right", keys_in_memory)
    for keys, spill in first:
        left.add(as_keys(keys))
        if spill:
            left.spill()
    for keys in second:
        right.add(as_keys(keys))
    for counters, batches in (
        ([left], [keys for keys, _ in first]),
        ([left, right], [*(k for k, _ in first), *second]),
    ):
        expected = Counter(key for keys in batches for key in keys)
        totals = total_up(counters, 5, keys_in_memory)
        assert totals.distinct == len(expected)
        assert totals.total == expected.total()
        ranked = sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))
        assert list(totals.most_frequent) == ranked[:5]


def test_a_vocabulary_larger_than_memory_is_counted_on_disk(tmp_path):
    counter = KeyCounter(tmp_path, "words", keys_in_memory=100_000)
    generator = np.random.default_rng(0)
    everything = generator.integers(0, 2_000_000, size=3_000_000, dtype=np.uint64)
    for keys in np.array_split(everything, 12):
        counter.add(keys)
    assert list(tmp_path.glob("*.npy"))
    totals = total_up([counter], 1, keys_in_memory=100_000)
    assert totals.distinct == len(np.unique(everything))
    assert totals.total == len(everything)


def test_words_that_come_often_are_counted_as_exactly_as_rare_ones_when_the_language_changes(tmp_path):
    generator = np.random.default_rng(0)
    parts = [generator.zipf(1.1, 1_500_000).astype(np.uint64) + np.uint64(language << 40) for language in range(3)]
    counter = KeyCounter(tmp_path, "words", keys_in_memory=200_000)
    for keys in (*np.array_split(parts[0], 20), *np.array_split(parts[1], 7), *np.array_split(parts[2], 90)):
        counter.add(keys)
    keys, counts = np.unique(np.concatenate(parts), return_counts=True)
    totals = total_up([counter], 50, keys_in_memory=200_000)
    assert (totals.distinct, totals.total) == (len(keys), 4_500_000)
    ranked = np.lexsort((keys, -counts))[:50]
    assert list(totals.most_frequent) == list(zip(keys[ranked].tolist(), counts[ranked].tolist(), strict=True))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_percentiles_are_those_of_numpy(numbers):
    values, counts = np.unique(numbers, return_counts=True)
    wanted = (0, 5, 50, 95, 99, 100)
    assert percentiles(values, counts, wanted) == pytest.approx(np.percentile(numbers, wanted).tolist())


@given(st.lists(st.integers(0, 10_000), max_size=200))
def test_every_sample_is_in_exactly_one_bin_of_the_histogram(numbers):
    values, counts = np.unique(np.array(numbers, dtype=np.int64), return_counts=True)
    made = histogram(values, counts)
    assert sum(made.counts) == len(numbers)
    assert len(made.counts) == 20
    assert len(made.edges) == 21
    assert list(made.counts) == np.histogram(np.array(numbers, dtype=np.int64), bins=20)[0].tolist()
