"""Counting the keys that come again and again before any hash table or sort sees them.

What belongs here: one small table that counts the frequent keys in place. What does not: counting all keys exactly
(`word_counts.py`, which takes what this table did not).

Nine of ten words of a text are among its fifty thousand most frequent. A table of one key per slot, at the place that
the key's own bits name, answers for all of them with one array lookup; it fits the processor's cache, as a hash table
of the whole vocabulary does not. Which key holds a slot is decided anew from time to time by what came most often
since, so that texts in another language soon have their words in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

_SLOT_BITS: Final = 16
_SLOTS: Final = 1 << _SLOT_BITS
# The golden ratio of 64 bits (Fibonacci hashing, Knuth, TAOCP volume 3, section 6.4).
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(64 - _SLOT_BITS)


class FrequentKeys:
    """A table of some keys with how often each came since it was last emptied."""

    def __init__(self) -> None:
        self._keys = np.zeros(_SLOTS, np.uint64)
        self._counts = np.zeros(_SLOTS, np.int64)

    def count(self, keys: np.ndarray) -> np.ndarray:
        """Count the keys that are in the table.

        Args:
            keys: uint64, in any order, repeated or not.

        Returns:
            Those that are not in the table: they were not counted.
        """
        slots = _slots(keys)
        found = self._keys.take(slots) == keys
        self._counts += np.bincount(slots[found], minlength=_SLOTS)
        missing: np.ndarray = keys[~found]
        return missing

    def empty(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys that came since the table was last emptied, each once, and how often; the keys keep their slots."""
        came = np.flatnonzero(self._counts)
        keys, counts = self._keys[came], self._counts[came].astype(np.uint64)
        self._counts[:] = 0
        return keys, counts

    def choose(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Give each slot to the most frequent of some keys that want it; the table must be empty.

        Args:
            keys: uint64.
            counts: How often each came of late.
        """
        ascending = np.argsort(counts)
        # Where several want one slot the last one written, the most frequent, keeps it.
        keys = keys[ascending]
        self._keys[_slots(keys)] = keys


def _slots(keys: np.ndarray) -> np.ndarray:
    slots: np.ndarray = ((keys * _SPREAD) >> _SHIFT).view(np.int64)
    return slots
