"""Counting distinct keys exactly in bounded memory: words of a split, whole texts of a split.

What belongs here: adding up (key, count) pairs, spilling them to disk, and merging what was spilled. What does not:
what the keys stand for (`statistics_scan.py`).

Pairs are added up in memory; when they are too many they are written to disk sorted by key (a run), and in the end all
runs are merged range of keys by range of keys, so that memory depends on the limit and not on the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mistudio_pipelines.text.frequent_keys import FrequentKeys

# 16 bytes each: 32 MB, and some eight times that while as many more are added up.
DEFAULT_KEYS_IN_MEMORY: Final = 2 << 20
_KEYS_LOOKED_UP_AT_ONCE: Final = 1 << 16
_KEYS_COUNTED_AT_ONCE: Final = 1 << 20
_LEAST_ADDED_UP: Final = 1 << 18


@dataclass(frozen=True)
class KeyTotals:
    """What a counter has counted.

    Attributes:
        distinct: Number of different keys.
        total: Number of keys in all.
        most_frequent: Keys with their counts, most frequent first; among equal counts the smaller key first.
    """

    distinct: int
    total: int
    most_frequent: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Run:
    """Keys, each once, with their counts; sorted by key but for those just counted; in memory or mapped from disk."""

    keys: np.ndarray
    counts: np.ndarray


_EMPTY: Final = _Run(np.empty(0, np.uint64), np.empty(0, np.uint64))


class KeyCounter:
    """Counts 64-bit keys.

    Args:
        folder: Where runs are spilled to; it must exist.
        name: Start of the runs' file names, different for every counter of a folder.
        keys_in_memory: Most different keys held in memory.
    """

    def __init__(self, folder: Path, name: str, keys_in_memory: int = DEFAULT_KEYS_IN_MEMORY) -> None:
        self._folder = folder
        self._name = name
        self._limit = keys_in_memory
        self._held = _EMPTY
        self._frequent: FrequentKeys | None = None
        self._new: list[np.ndarray] = []
        self._new_waiting = 0
        self._keys: list[np.ndarray] = []
        self._keys_waiting = 0
        self._counted: list[_Run] = []
        self._counted_waiting = 0
        self._spilled: list[Path] = []

    def add(self, keys: np.ndarray) -> None:
        """Count keys.

        Args:
            keys: uint64, in any order, repeated or not.
        """
        self._new.append(keys)
        self._new_waiting += len(keys)
        if self._new_waiting < _KEYS_LOOKED_UP_AT_ONCE:
            return
        self._look_up()
        if self._keys_waiting < _KEYS_COUNTED_AT_ONCE:
            return
        self._count()
        # Adding up costs as much as everything held, so it waits until as much again has come in.
        if self._counted_waiting > max(_LEAST_ADDED_UP, len(self._held.keys)):
            self._add_up()
            if len(self._held.keys) > self._limit:
                self.spill()

    def spill(self) -> None:
        """Write what is held in memory to disk."""
        self._add_up()
        self._frequent = None
        if len(self._held.keys):
            path = self._folder / f"{self._name}-{len(self._spilled)}"
            np.save(path.with_suffix(".keys.npy"), self._held.keys)
            np.save(path.with_suffix(".counts.npy"), self._held.counts)
            self._spilled.append(path)
            self._held = _EMPTY

    def runs(self) -> list[_Run]:
        """Everything counted so far, as sorted runs."""
        self._add_up()
        runs = [
            _Run(
                np.load(path.with_suffix(".keys.npy"), mmap_mode="r"),
                np.load(path.with_suffix(".counts.npy"), mmap_mode="r"),
            )
            for path in self._spilled
        ]
        return [*runs, self._held] if len(self._held.keys) else runs

    def _look_up(self) -> None:
        """Count the frequent ones among the keys that came; the others wait to be counted, many at once."""
        if self._new:
            keys = np.concatenate(self._new)
            self._new, self._new_waiting = [], 0
            if self._frequent is not None:
                keys = self._frequent.count(keys)
            self._keys.append(keys)
            self._keys_waiting += len(keys)

    def _count(self) -> None:
        """Count the keys that wait; many at once, because most of them then come more than once."""
        import polars as pl

        counted = pl.Series("key", np.concatenate(self._keys)).value_counts(name="count")
        run = _Run(counted["key"].to_numpy(), counted["count"].to_numpy().astype(np.uint64))
        self._keys, self._keys_waiting = [], 0
        self._counted.append(run)
        self._counted_waiting += len(run.keys)
        frequent = self._empty_frequent()
        if self._frequent is None:
            self._frequent = FrequentKeys()
        self._frequent.choose(np.concatenate([frequent.keys, run.keys]), np.concatenate([frequent.counts, run.counts]))

    def _empty_frequent(self) -> _Run:
        if self._frequent is None:
            return _EMPTY
        run = _Run(*self._frequent.empty())
        self._counted.append(run)
        self._counted_waiting += len(run.keys)
        return run

    def _add_up(self) -> None:
        self._look_up()
        if self._keys_waiting:
            self._count()
        self._empty_frequent()
        if self._counted:
            # First the new among themselves, then with those held: two sorted runs merge in one go.
            self._held = _merged([self._held, _merged(self._counted, in_order=False)])
        self._counted, self._counted_waiting = [], 0


def _merged(runs: Sequence[_Run], *, in_order: bool = True) -> _Run:
    """Runs as one sorted run in which every key comes once; `in_order` says that each is sorted already."""
    keys = np.concatenate([run.keys for run in runs])
    # The stable sort merges what is sorted already, and is slow where nothing is.
    order = np.argsort(keys, kind="stable" if in_order else "quicksort")
    keys = keys[order]
    counts = np.concatenate([run.counts for run in runs])[order]
    if not len(keys):
        return _EMPTY
    firsts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    return _Run(keys[firsts], np.add.reduceat(counts, firsts))


def total_up(
    counters: Sequence[KeyCounter], most_frequent: int, keys_in_memory: int = DEFAULT_KEYS_IN_MEMORY
) -> KeyTotals:
    """What several counters have counted together.

    Args:
        counters: The counters; each may be totalled alone and with others.
        most_frequent: How many of the most frequent keys to name.
        keys_in_memory: About how many pairs are merged at a time.
    """
    distinct = total = 0
    top = _EMPTY
    for merged in _merged_ranges([run for counter in counters for run in counter.runs()], keys_in_memory):
        distinct += len(merged.keys)
        total += int(merged.counts.sum())
        top = _largest(
            np.concatenate([top.keys, merged.keys]), np.concatenate([top.counts, merged.counts]), most_frequent
        )
    return KeyTotals(distinct, total, tuple(zip(top.keys.tolist(), top.counts.tolist(), strict=True)))


def _largest(keys: np.ndarray, counts: np.ndarray, most: int) -> _Run:
    if len(keys) > most > 0:
        threshold = np.partition(counts, len(counts) - most)[len(counts) - most]
        large = np.flatnonzero(counts >= threshold)
        keys, counts = keys[large], counts[large]
    # Unsigned counts are turned round by subtracting from the largest, not by a minus sign.
    order = np.lexsort((keys, counts.max(initial=0) - counts))[:most]
    return _Run(keys[order], counts[order])


def _merged_ranges(runs: list[_Run], keys_in_memory: int) -> Iterator[_Run]:
    if len(runs) == 1:
        yield runs[0]
        return
    for pieces in _ranges(runs, keys_in_memory):
        yield _merged(pieces)


def _ranges(runs: list[_Run], keys_in_memory: int) -> Iterator[list[_Run]]:
    """The runs cut at the same keys, so that each cut holds all pairs of its keys and about so many pairs in all."""
    if not runs:
        return
    largest = max(runs, key=lambda run: len(run.keys)).keys
    step = max(1, keys_in_memory // len(runs))
    cuts = [np.searchsorted(run.keys, largest[step::step]) for run in runs]
    bounds = [np.concatenate([[0], cut, [len(run.keys)]]) for run, cut in zip(runs, cuts, strict=True)]
    for part in range(len(bounds[0]) - 1):
        yield [
            _Run(
                np.asarray(run.keys[bound[part] : bound[part + 1]]),
                np.asarray(run.counts[bound[part] : bound[part + 1]]),
            )
            for run, bound in zip(runs, bounds, strict=True)
        ]
