"""Filters and orders of samples, and pages that need no search: by split and by number of tokens.

What belongs here: arithmetic on sample numbers and token counts. What does not: searching (`search.py`), showing
(`browsing.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

SampleOrder = Literal["number", "relevance", "tokens", "-tokens"]


@dataclass(frozen=True)
class Filters:
    """What a sample must be beside being found.

    Attributes:
        ranges: Ranges of sample numbers (first, one past the last), ascending and apart; None for all.
        min_tokens: Least tokens, or None.
        max_tokens: Most tokens, or None.
    """

    ranges: tuple[tuple[int, int], ...] | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None


def page_of_ranges(ranges: tuple[tuple[int, int], ...], offset: int, limit: int) -> tuple[int, list[int]]:
    """A page of all samples in ranges of numbers.

    Args:
        ranges: Ranges (first, one past the last), ascending and apart.
        offset: How many samples come before the page.
        limit: Most samples on the page.

    Returns:
        The number of samples in all, and the numbers of those on the page.
    """
    total = sum(end - start for start, end in ranges)
    numbers: list[int] = []
    for start, end in ranges:
        first = start + offset
        numbers.extend(range(first, min(end, first + limit - len(numbers))))
        offset = max(0, offset - (end - start))
    return total, numbers


def page_of_tokens(
    tokens: np.ndarray,
    ranges: tuple[tuple[int, int], ...],
    filters: Filters,
    offset: int,
    limit: int,
    order: SampleOrder,
) -> tuple[int, list[int]]:
    """A page by token counts: one look at an array of them, whatever the page.

    Args:
        tokens: Number of tokens of every sample.
        ranges: Ranges of sample numbers (first, one past the last), ascending and apart.
        filters: Least and most tokens; its ranges are not looked at.
        offset: How many samples come before the page.
        limit: Most samples on the page.
        order: `number`, `tokens` or `-tokens`.

    Returns:
        The number of samples in all, and the numbers of those on the page.
    """
    wanted = np.concatenate([np.arange(start, end) for start, end in ranges])
    counts = np.concatenate([tokens[start:end] for start, end in ranges])
    kept = np.ones(len(counts), np.bool_)
    if filters.min_tokens is not None:
        kept &= counts >= filters.min_tokens
    if filters.max_tokens is not None:
        kept &= counts <= filters.max_tokens
    places = np.flatnonzero(kept)
    if order != "number":
        places = _sorted_part(counts[places].astype(np.int64), places, offset, limit, descending=order == "-tokens")
        return int(kept.sum()), wanted[places].tolist()
    return len(places), wanted[places[offset : offset + limit]].tolist()


def _sorted_part(counts: np.ndarray, places: np.ndarray, offset: int, limit: int, *, descending: bool) -> np.ndarray:
    """What a stable sort of all would have at an offset, by sorting only the values around it.

    The order equals that of an index search: by tokens, then by number, or exactly the reverse.
    """
    end = min(offset + limit, len(counts))
    if offset >= end:
        return places[:0]
    ranks = (len(counts) - end, len(counts) - 1 - offset) if descending else (offset, end - 1)
    smallest, largest = np.partition(counts, ranks)[list(ranks)]
    near = np.flatnonzero((counts >= smallest) & (counts <= largest))
    ordered = near[np.argsort(counts[near], kind="stable")]
    skip = ranks[0] - int(np.count_nonzero(counts < smallest))
    part = places[ordered[skip : skip + end - offset]]
    return part[::-1] if descending else part
