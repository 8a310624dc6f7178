"""Statistics of tokens: lengths of documents, the distribution of ids, special tokens, padding.

What belongs here: the model and pure arithmetic on counts that can be added up over shards. What does not: the
statistics of texts and words (`text/`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict

HISTOGRAM_BINS = 20
MOST_FREQUENT = 50
PERCENTILES = (5, 25, 50, 75, 95, 99)


class LengthStatistics(BaseModel):
    """Tokens per document, over documents that have any.

    Attributes:
        documents: How many documents.
        min: Fewest tokens.
        max: Most tokens.
        mean: Tokens on average.
        median: Half of the documents have at most so many.
        percentiles: Percent to tokens (nearest rank).
        histogram_edges: 21 edges of 20 bins; the last bin includes its upper edge.
        histogram_counts: Documents in each bin.
    """

    model_config = ConfigDict(frozen=True)

    documents: int
    min: int
    max: int
    mean: float
    median: float
    percentiles: dict[int, int]
    histogram_edges: tuple[float, ...]
    histogram_counts: tuple[int, ...]


class FrequentToken(BaseModel):
    """A token and how often it is in the rows.

    Attributes:
        id: Its id.
        text: As the tokenizer decodes it.
        count: How often.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    text: str
    count: int


class TokenStatistics(BaseModel):
    """Statistics of a tokenization; ids are counted in rows, padding left out.

    Attributes:
        lengths: Tokens per document; None where no document has any.
        most_frequent: The most frequent tokens.
        used_ids: How many ids of the vocabulary are in the rows.
        unused_share: Share of the vocabulary that is not.
        special_tokens: How often each special token is in the rows.
        bytes_per_token: Bytes of UTF-8 for each encoded token.
        padding_share: Share of the rows that is padding.
        counts_file: Name of the file of counts by id (numpy, uint64).
    """

    model_config = ConfigDict(frozen=True)

    lengths: LengthStatistics | None
    most_frequent: tuple[FrequentToken, ...]
    used_ids: int
    unused_share: float
    special_tokens: dict[str, int]
    bytes_per_token: float | None
    padding_share: float
    counts_file: str


class LengthCounts:
    """How many documents have how many tokens; grows with the number of different lengths only."""

    def __init__(self) -> None:
        self._values = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)

    def add(self, lengths: np.ndarray) -> None:
        """Take in documents."""
        values, counts = np.unique(lengths, return_counts=True)
        merged = np.concatenate([self._values, values])
        self._values, inverse = np.unique(merged, return_inverse=True)
        # bincount weighs in floating point; counts stay far below 2^53.
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(inverse, weights=weights, minlength=len(self._values)).astype(np.int64)

    def statistics(self) -> LengthStatistics | None:
        """The statistics of what was taken in."""
        values, counts = self._values, self._counts
        total = int(counts.sum())
        if not total:
            return None
        cumulated = np.cumsum(counts)

        def at_rank(rank: int) -> int:
            return int(values[np.searchsorted(cumulated, rank, side="right")])

        histogram, edges = np.histogram(values, HISTOGRAM_BINS, weights=counts)
        return LengthStatistics(
            documents=total,
            min=int(values[0]),
            max=int(values[-1]),
            mean=float((values * counts).sum() / total),
            median=(at_rank((total - 1) // 2) + at_rank(total // 2)) / 2,
            percentiles={percent: at_rank(max(0, -(-percent * total // 100) - 1)) for percent in PERCENTILES},
            histogram_edges=tuple(edges.tolist()),
            histogram_counts=tuple(int(count) for count in histogram),
        )


def count_ids(tokens: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """How often each id is in an array, int64; in slices, because bincount makes a copy of eight bytes a token."""
    counts = np.zeros(vocabulary_size, np.int64)
    for begin in range(0, len(tokens), 1 << 18):
        counts += np.bincount(tokens[begin : begin + (1 << 18)], minlength=vocabulary_size)
    return counts


def token_statistics(
    lengths: LengthCounts,
    id_counts: np.ndarray,
    decode: Callable[[int], str],
    special_tokens: dict[str, int],
    *,
    text_bytes: int,
    tokens_encoded: int,
    padded: int,
    counts_file: str,
) -> TokenStatistics:
    """Put the statistics together.

    Args:
        lengths: Tokens per document.
        id_counts: How often each id is in the rows, padding left out; one entry for each id of the vocabulary.
        decode: An id's text.
        special_tokens: Name to id.
        text_bytes: Bytes encoded.
        tokens_encoded: Tokens that the tokenizer gave.
        padded: Padding in the rows.
        counts_file: Name of the file of counts.
    """
    top = np.argsort(-id_counts, kind="stable")[:MOST_FREQUENT]
    used = int((id_counts > 0).sum())
    in_rows = int(id_counts.sum())
    return TokenStatistics(
        lengths=lengths.statistics(),
        most_frequent=tuple(
            FrequentToken(id=int(token), text=decode(int(token)), count=int(id_counts[token]))
            for token in top
            if id_counts[token]
        ),
        used_ids=used,
        unused_share=1 - used / len(id_counts) if len(id_counts) else 0.0,
        special_tokens={name: int(id_counts[token]) for name, token in special_tokens.items()},
        bytes_per_token=text_bytes / tokens_encoded if tokens_encoded else None,
        padding_share=padded / (padded + in_rows) if padded + in_rows else 0.0,
        counts_file=counts_file,
    )
