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
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import polars as pl

# 16 bytes each: 32 MB, and some eight times that while as many more are added up.
DEFAULT_KEYS_IN_MEMORY: Final = 2 << 20
_KEYS_COUNTED_AT_ONCE: Final = 1 << 19
_LEAST_COMPACTION: Final = 1 << 18


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
    """Distinct keys in ascending order with their counts, in memory or mapped from disk."""

    keys: np.ndarray
    counts: np.ndarray


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
        self._added_up: pl.DataFrame | None = None
        self._keys: list[np.ndarray] = []
        self._keys_waiting = 0
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = 0
        self._runs: list[Path] = []

    def add(self, keys: np.ndarray) -> None:
        """Count keys.

        Args:
            keys: uint64, in any order, repeated or not.
        """
        self._keys.append(keys)
        self._keys_waiting += len(keys)
        if self._keys_waiting < _KEYS_COUNTED_AT_ONCE:
            return
        self._count()
        held = 0 if self._added_up is None else len(self._added_up)
        # Adding up costs as much as everything held, so it waits until as much again has come in.
        if self._waiting_rows > max(_LEAST_COMPACTION, held):
            self._add_up()
            if len(self._held()) > self._limit:
                self.spill()

    def spill(self) -> None:
        """Write what is held in memory to disk."""
        run = self._as_run()
        if not len(run.keys):
            return
        path = self._folder / f"{self._name}-{len(self._runs)}"
        np.save(path.with_suffix(".keys.npy"), run.keys)
        np.save(path.with_suffix(".counts.npy"), run.counts)
        self._runs.append(path)
        self._added_up = None

    def runs(self) -> list[_Run]:
        """Everything counted so far, as sorted runs."""
        stored = [
            _Run(
                np.load(path.with_suffix(".keys.npy"), mmap_mode="r"),
                np.load(path.with_suffix(".counts.npy"), mmap_mode="r"),
            )
            for path in self._runs
        ]
        held = self._as_run()
        return [*stored, held] if len(held.keys) else stored

    def _held(self) -> pl.DataFrame:
        import polars as pl

        if self._added_up is None:
            self._added_up = pl.DataFrame(schema={"key": pl.UInt64, "count": pl.UInt64})
        return self._added_up

    def _count(self) -> None:
        """Count the keys that wait; many at once, because the frequent ones then come but once."""
        import polars as pl

        if self._keys:
            counted = pl.Series("key", np.concatenate(self._keys)).value_counts(name="count")
            self._waiting.append(counted.with_columns(pl.col("count").cast(pl.UInt64)))
            self._waiting_rows += len(counted)
        self._keys, self._keys_waiting = [], 0

    def _add_up(self) -> None:
        import polars as pl

        self._count()
        everything = pl.concat([self._held(), *self._waiting])
        self._added_up = everything.group_by("key").agg(pl.col("count").sum())
        self._waiting, self._waiting_rows = [], 0

    def _as_run(self) -> _Run:
        self._add_up()
        table = self._held().sort("key")
        return _Run(table["key"].to_numpy(), table["count"].to_numpy())


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
    top = _Run(np.empty(0, np.uint64), np.empty(0, np.uint64))
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
        keys = np.concatenate([piece.keys for piece in pieces])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        counts = np.concatenate([piece.counts for piece in pieces])[order]
        if len(keys):
            firsts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
            yield _Run(keys[firsts], np.add.reduceat(counts, firsts))


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
