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
    counts = np.concatenate([tokens[start:end] for start, end in ranges])
    if order == "number":
        places = np.flatnonzero(_kept(counts, filters))
        return len(places), _numbers(places[offset : offset + limit], ranges)
    descending = order == "-tokens"
    if filters.min_tokens is None and filters.max_tokens is None:
        return len(counts), _numbers(_sorted_part(counts, offset, limit, descending=descending), ranges)
    places = np.flatnonzero(_kept(counts, filters))
    part = _sorted_part(counts[places], offset, limit, descending=descending)
    return len(places), _numbers(places[part], ranges)


def _kept(counts: np.ndarray, filters: Filters) -> np.ndarray:
    kept = np.ones(len(counts), np.bool_)
    if filters.min_tokens is not None:
        kept &= counts >= filters.min_tokens
    if filters.max_tokens is not None:
        kept &= counts <= filters.max_tokens
    return kept


def _numbers(places: np.ndarray, ranges: tuple[tuple[int, int], ...]) -> list[int]:
    """Sample numbers of places in the ranges put one after the other."""
    starts = np.array([start for start, _ in ranges])
    before = np.cumsum([0, *(end - start for start, end in ranges)])[:-1]
    inside = np.searchsorted(before, places, side="right") - 1
    numbers: list[int] = (places - before[inside] + starts[inside]).tolist()
    return numbers


def _sorted_part(counts: np.ndarray, offset: int, limit: int, *, descending: bool) -> np.ndarray:
    """The places that a stable sort of all counts has at an offset, by sorting only the counts around it.

    The order equals that of a search: by tokens, then by place, or exactly the reverse.
    """
    end = min(offset + limit, len(counts))
    if offset >= end:
        return np.empty(0, np.int64)
    first, last = (len(counts) - end, len(counts) - 1 - offset) if descending else (offset, end - 1)
    partitioned = np.partition(counts, (first, last))
    smallest, largest = partitioned[first], partitioned[last]
    near = np.flatnonzero((counts >= smallest) & (counts <= largest))
    ordered = near[np.argsort(counts[near], kind="stable")]
    skipped = first - int(np.count_nonzero(counts < smallest))
    part = ordered[skipped : skipped + end - offset]
    return part[::-1] if descending else part
