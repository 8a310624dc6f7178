"""The small table of frequent keys: what it counts, and what it leaves to others."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.text.frequent_keys import FrequentKeys

keys_with_repeats = st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), max_size=200)


def as_keys(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.uint64)


@given(st.lists(keys_with_repeats, max_size=4))
def test_every_key_is_either_counted_or_given_back(rounds):
    table = FrequentKeys()
    seen: Counter[int] = Counter()
    for numbers in rounds:
        left = table.count(as_keys(numbers))
        keys, counts = table.empty()
        assert len(set(keys.tolist())) == len(keys)
        seen.update(left.tolist())
        seen.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
        different, counted = np.unique(as_keys(numbers), return_counts=True)
        table.choose(different, counted)
    assert seen == Counter(number for numbers in rounds for number in numbers)


def test_a_chosen_key_is_counted_in_the_table():
    table = FrequentKeys()
    table.choose(as_keys([5, 7]), np.array([10, 3]))
    left = table.count(as_keys([5, 5, 9, 7]))
    assert left.tolist() == [9]
    keys, counts = table.empty()
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == {5: 2, 7: 1}


def test_of_two_keys_that_want_one_slot_the_more_frequent_gets_it():
    table = FrequentKeys()
    many = np.arange(1, 400_000, dtype=np.uint64)
    counts = np.ones(len(many), np.int64)
    counts[100:200] = 1000
    table.choose(many, counts)
    left = set(table.count(many).tolist())
    assert not left & set(many[100:200].tolist())


def test_an_emptied_table_has_counted_nothing():
    table = FrequentKeys()
    table.choose(as_keys([1]), np.array([1]))
    table.count(as_keys([1, 1]))
    table.empty()
    assert [array.tolist() for array in table.empty()] == [[], []]
