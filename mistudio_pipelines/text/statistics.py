"""Statistics of texts, added up block by block, exact over every sample.

What belongs here: what is kept of each split while the blocks go by, and how it becomes `TextStatistics`. What does
not: array work on the bytes (`statistics_scan.py`), counting keys (`word_counts.py`), the other columns
(`statistics_columns.py`), reading and writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mistudio_pipelines.text.statistics_model import (
    HISTOGRAM_BINS,
    MOST_FREQUENT_WORDS,
    Histogram,
    TextStatistics,
    WordCount,
)
from mistudio_pipelines.text.statistics_scan import TextBlock, scan_tokens, text_keys
from mistudio_pipelines.text.word_counts import DEFAULT_KEYS_IN_MEMORY, KeyCounter, total_up


class SplitTexts:
    """What is known of one split's texts so far.

    Args:
        folder: Where counters may spill to; it must exist.
        name: A file name for this split, different from other splits'.
        keys_in_memory: Most different words, and texts, held in memory.
    """

    def __init__(self, folder: Path, name: str, keys_in_memory: int = DEFAULT_KEYS_IN_MEMORY) -> None:
        self.words = KeyCounter(folder, f"{name}-words", keys_in_memory)
        self.texts = KeyCounter(folder, f"{name}-texts", keys_in_memory)
        self.samples_by_tokens: dict[int, int] = {}
        self.characters = 0
        self.bytes = 0
        self.nulls = 0
        self.empties = 0
        self.blanks = 0
        self.replacement_characters = 0
        self.invalid_sequences = 0

    def add(self, block: TextBlock) -> np.ndarray:
        """Take in a block.

        Args:
            block: Texts of this split.

        Returns:
            The number of tokens of each of them.
        """
        tokens = scan_tokens(block)
        self.words.add(tokens.keys)
        lengths = block.lengths
        self.texts.add(text_keys(block)[lengths > 0])
        values, samples = np.unique(tokens.per_sample, return_counts=True)
        for value, count in zip(values.tolist(), samples.tolist(), strict=True):
            self.samples_by_tokens[value] = self.samples_by_tokens.get(value, 0) + count
        data = np.frombuffer(block.data, np.uint8)
        continuation_bytes = np.count_nonzero((data & 0xC0) == 0x80)
        self.bytes += int(lengths.sum())
        self.characters += int(lengths.sum()) - int(continuation_bytes)
        self.nulls += int(block.missing.sum())
        self.empties += int(np.count_nonzero((lengths == 0) & ~block.missing))
        self.blanks += int(np.count_nonzero((tokens.per_sample == 0) & (lengths > 0)))
        self.replacement_characters += _count_replacements(data)
        return tokens.per_sample

    def spill(self) -> None:
        """Free the memory of the counters; more may still be added."""
        self.words.spill()
        self.texts.spill()


def _count_replacements(data: np.ndarray) -> int:
    """U+FFFD in UTF-8 that ends with a line end: EF BF BD (four times as fast as `bytes.count`)."""
    first = np.flatnonzero(data == 0xEF)
    return int(np.count_nonzero((data[first + 1] == 0xBF) & (data[first + 2] == 0xBD)))


@dataclass(frozen=True)
class CountedTexts:
    """Everything about the texts of one or several splits except the spelling of the most frequent words.

    Attributes:
        statistics: With `most_frequent_words` empty.
        most_frequent: Key and count of the most frequent words.
    """

    statistics: TextStatistics
    most_frequent: tuple[tuple[int, int], ...]


def count_texts(
    splits: Sequence[SplitTexts], *, replaced: int = 0, keys_in_memory: int = DEFAULT_KEYS_IN_MEMORY
) -> CountedTexts:
    """Statistics of one split, or of several together.

    Args:
        splits: What was added up.
        replaced: Invalid sequences that were replaced before, when the raw files were written.
        keys_in_memory: About how many keys are merged at a time.
    """
    words = total_up([split.words for split in splits], MOST_FREQUENT_WORDS, keys_in_memory)
    texts = total_up([split.texts for split in splits], 0, keys_in_memory)
    samples_by_tokens: dict[int, int] = {}
    for split in splits:
        for value, count in split.samples_by_tokens.items():
            samples_by_tokens[value] = samples_by_tokens.get(value, 0) + count
    values = np.array(sorted(samples_by_tokens), dtype=np.int64)
    counts = np.array([samples_by_tokens[value] for value in values.tolist()], dtype=np.int64)
    samples = int(counts.sum())
    p5, median, p95, p99 = percentiles(values, counts, (5, 50, 95, 99))
    statistics = TextStatistics(
        samples=samples,
        tokens=words.total,
        min_tokens=int(values[0]) if samples else 0,
        max_tokens=int(values[-1]) if samples else 0,
        mean_tokens=words.total / samples if samples else 0.0,
        median_tokens=median,
        p5_tokens=p5,
        p95_tokens=p95,
        p99_tokens=p99,
        histogram=histogram(values, counts),
        vocabulary=words.distinct,
        most_frequent_words=(),
        characters=sum(split.characters for split in splits),
        bytes=sum(split.bytes for split in splits),
        nulls=sum(split.nulls for split in splits),
        empties=sum(split.empties for split in splits),
        blanks=sum(split.blanks for split in splits),
        duplicates=texts.total - texts.distinct,
        replacement_characters=sum(split.replacement_characters for split in splits),
        invalid_sequences=replaced + sum(split.invalid_sequences for split in splits),
    )
    return CountedTexts(statistics, words.most_frequent)


def with_words(counted: CountedTexts, spelling: Mapping[int, str]) -> TextStatistics:
    """The statistics with the most frequent words spelled out.

    Args:
        counted: What was counted.
        spelling: The word of each key of `counted.most_frequent`.
    """
    named = tuple(WordCount(word=spelling[key], count=count) for key, count in counted.most_frequent)
    return counted.statistics.model_copy(update={"most_frequent_words": named})


def percentiles(values: np.ndarray, counts: np.ndarray, wanted: Sequence[float]) -> list[float]:
    """Percentiles of numbers that are given by how often each occurs, linear between neighbours.

    The definition is numpy's default (Hyndman and Fan 1996, type 7).

    Args:
        values: Different numbers, ascending.
        counts: How often each occurs.
        wanted: Percentiles, 0 to 100.

    Returns:
        One number per percentile; 0.0 where there are no values.
    """
    until = np.cumsum(counts)
    if not len(until):
        return [0.0 for _ in wanted]
    ranks = np.asarray(wanted, dtype=np.float64) / 100 * float(until[-1] - 1)
    lower_rank = np.floor(ranks)
    lower = values[np.searchsorted(until, lower_rank, side="right")]
    upper = values[np.searchsorted(until, np.ceil(ranks), side="right")]
    return [float(value) for value in lower + (upper - lower) * (ranks - lower_rank)]


def histogram(values: np.ndarray, counts: np.ndarray) -> Histogram:
    """Twenty bins of equal width from the smallest to the largest value.

    Args:
        values: Different numbers, ascending.
        counts: How often each occurs.
    """
    filled, edges = np.histogram(values, bins=HISTOGRAM_BINS, weights=counts)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(int(count) for count in filled))
