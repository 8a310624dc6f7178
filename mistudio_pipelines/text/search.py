"""Searching a sample index: numbers of the samples that a query finds, page by page.

What belongs here: an open index, turning a query tree into a tantivy query, and the order of hits. What does not: what
people type (`query.py`), reading the samples found (`browsing.py`), the files (`sample_index.py`).

Pages deep in a long list of hits do not cost more than the first: a histogram of the hits by sample number (one pass
over the posting lists, which counting needs anyway) tells in which range of numbers a page lies, and only that range
is sorted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.filtering import Filters, SampleOrder
from mistudio_pipelines.text.query import And, Node, Not, Phrase
from mistudio_pipelines.text.sample_index import (
    ACCENTS_NAME,
    MOST_RANKED_TOKENS,
    NUMBER_BITS,
    NUMBER_FIELD,
    RANK_FIELD,
    TANTIVY_NAME,
    TEXT_FIELD,
    TOKENS_NAME,
    check_index,
    corrupt_index,
    noticing_damage,
    read_index_summary,
)
from mistudio_pipelines.text.search_words import LONGEST_WORD_BYTES, fold

if TYPE_CHECKING:
    import tantivy

# Up to here the hits before a page are cheaper to sort than to count.
_SHALLOW: Final = 2000
_BUCKET: Final = 4096
# Up to so many plain phrases are faster than one phrase of patterns.
_MOST_PHRASES: Final = 24
# What tantivy says of a phrase of patterns that match too many words, or that are too long.
_LIMITS: Final = ("exceeded max expansions", "exceeds size limit")


@dataclass(frozen=True)
class WrittenPhrase:
    """A phrase of a query as it may be written in a text.

    Attributes:
        words: For each place, the words that may stand there.
        prefix: True where the last place holds beginnings of words.
    """

    words: tuple[tuple[str, ...], ...]
    prefix: bool = False


class SampleIndex:
    """An open index. Safe to use from several threads for searching.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.

    Raises:
        MistudioError: `index_missing` where there is none, `data_corrupt` where it is damaged.
    """

    def __init__(self, store: DataStore, dataset_id: str) -> None:
        import tantivy

        self.summary = read_index_summary(store, dataset_id)
        self.dataset_id = dataset_id
        problems = check_index(store, dataset_id, hashes=False)
        if problems:
            raise corrupt_index(dataset_id, problems[0].rstrip("."))
        folder = store.index(dataset_id)
        with noticing_damage(self.dataset_id):
            index = tantivy.Index.open(str(folder / TANTIVY_NAME))
            # The files never change: without this a thread would look for changes twice a second.
            index.config_reader("manual")
            self._schema = index.schema
            self._searcher = index.searcher()
            accents = f"file:{folder / ACCENTS_NAME}?mode=ro&immutable=1"
            self._accents = sqlite3.connect(accents, uri=True, check_same_thread=False)
        samples = self.summary.samples
        self.tokens: np.ndarray = (
            np.memmap(folder / TOKENS_NAME, "<u4", "r", shape=(samples,)) if samples else np.empty(0, np.uint32)
        )

    def close(self) -> None:
        """Let the files go."""
        self._accents.close()

    def count(self, query: Node, filters: Filters) -> int:
        """Number of samples found."""
        with self._searching():
            return int(self._searcher.search(self._filtered(query, filters), 1, count=True).count)

    def page(self, query: Node, filters: Filters, offset: int, limit: int, order: SampleOrder) -> tuple[int, list[int]]:
        """A page of the samples found.

        Args:
            query: What to find.
            filters: What the samples must be.
            offset: How many samples come before the page.
            limit: Most samples on the page.
            order: `number` or `tokens` ascending, `-tokens` descending, or `relevance` (BM25, best first).

        Returns:
            The number of samples found in all, and the numbers of those on the page.
        """
        with self._searching():
            found = self._filtered(query, filters)
            if order == "relevance":
                return self._by_relevance(found, offset, limit)
            if order == "number" and offset > _SHALLOW:
                return self._deep_by_number(query, filters, offset, limit)
            return self._sorted(found, offset, limit, order)

    def written(self, phrase: Phrase) -> WrittenPhrase:
        """How a phrase of a query may be written: words without accents stand for those with accents too."""
        last = len(phrase.words) - 1
        words = [self._spellings(word, phrase.prefix and place == last) for place, word in enumerate(phrase.words)]
        return WrittenPhrase(tuple(words), phrase.prefix)

    def _spellings(self, word: str, prefix: bool) -> tuple[str, ...]:
        if fold(word) != word:
            return (word,)
        until = word + "\U0010ffff" if prefix else word
        rows = self._accents.execute(
            "SELECT written FROM accents WHERE folded BETWEEN ? AND ? ORDER BY written", (word, until)
        )
        others = (_beginning(written, word) if prefix else written for (written,) in rows)
        return tuple(dict.fromkeys([word, *others]))

    def _sorted(self, found: tantivy.Query, offset: int, limit: int, order: SampleOrder) -> tuple[int, list[int]]:
        import tantivy

        field = NUMBER_FIELD if order == "number" else RANK_FIELD
        direction = tantivy.Order.Desc if order == "-tokens" else tantivy.Order.Asc
        result = self._searcher.search(found, limit, True, field, offset, direction)
        mask = (1 << NUMBER_BITS) - 1
        return int(result.count), [int(value) & mask for value, _ in result.hits]

    def _by_relevance(self, found: tantivy.Query, offset: int, limit: int) -> tuple[int, list[int]]:
        result = self._searcher.search(found, limit, True, offset=offset)
        numbers = self._searcher.fast_field_values(NUMBER_FIELD, [address for _, address in result.hits])
        return int(result.count), [int(number) for number in numbers if number is not None]

    def _deep_by_number(self, query: Node, filters: Filters, offset: int, limit: int) -> tuple[int, list[int]]:
        by_number = {"histogram": {"field": NUMBER_FIELD, "interval": _BUCKET}}
        answer = self._searcher.aggregate(self._filtered(query, filters), {"hits": by_number})
        buckets = answer["hits"]["buckets"]
        until = np.cumsum([bucket["doc_count"] for bucket in buckets])
        total = int(until[-1]) if len(until) else 0
        if offset >= total:
            return total, []
        first = int(np.searchsorted(until, offset, side="right"))
        last = int(np.searchsorted(until, min(offset + limit, total) - 1, side="right"))
        before = int(until[first - 1]) if first else 0
        start, end = int(buckets[first]["key"]), int(buckets[last]["key"]) + _BUCKET
        _, numbers = self._sorted(self._filtered(query, filters, (start, end)), offset - before, limit, "number")
        return total, numbers

    def _filtered(self, query: Node, filters: Filters, numbers: tuple[int, int] | None = None) -> tantivy.Query:
        import tantivy

        must = [self._compile(query)]
        if filters.ranges is not None:
            ranges = [self._range(NUMBER_FIELD, start, end) for start, end in filters.ranges]
            must.append(_any(ranges))
        if numbers is not None:
            must.append(self._range(NUMBER_FIELD, *numbers))
        if filters.min_tokens is not None or filters.max_tokens is not None:
            least = min(max(filters.min_tokens or 0, 0), MOST_RANKED_TOKENS)
            most = MOST_RANKED_TOKENS if filters.max_tokens is None else min(filters.max_tokens, MOST_RANKED_TOKENS)
            # The range is open at its right end, and nothing ranks higher than the largest 63-bit number.
            end = min((max(most, -1) + 1) << NUMBER_BITS, (1 << 63) - 1)
            must.append(self._range(RANK_FIELD, least << NUMBER_BITS, end))
        return must[0] if len(must) == 1 else tantivy.Query.boolean_query([(tantivy.Occur.Must, part) for part in must])

    def _range(self, field: str, start: int, end: int) -> tantivy.Query:
        import tantivy

        if start >= end:
            return tantivy.Query.empty_query()
        inside = tantivy.Query.range_query(
            self._schema, field, tantivy.FieldType.Integer, start, end, include_lower=True, include_upper=False
        )
        return tantivy.Query.const_score_query(inside, 0.0)

    def _compile(self, node: Node) -> tantivy.Query:
        import tantivy

        if isinstance(node, Phrase):
            return self._compile_phrase(self.written(node))
        if isinstance(node, Not):
            everything = tantivy.Query.const_score_query(tantivy.Query.all_query(), 0.0)
            without = (tantivy.Occur.MustNot, self._compile(node.part))
            return tantivy.Query.boolean_query([(tantivy.Occur.Must, everything), without])
        if isinstance(node, And):
            # "a NOT b" is one exclusion, not the intersection with everything but b.
            clauses = [
                (tantivy.Occur.MustNot, self._compile(part.part))
                if isinstance(part, Not)
                else (tantivy.Occur.Must, self._compile(part))
                for part in node.parts
            ]
            if all(isinstance(part, Not) for part in node.parts):
                clauses.append((tantivy.Occur.Must, tantivy.Query.const_score_query(tantivy.Query.all_query(), 0.0)))
            return tantivy.Query.boolean_query(clauses)
        return _any([self._compile(part) for part in node.parts])

    def _compile_phrase(self, phrase: WrittenPhrase) -> tantivy.Query:
        import tantivy

        if any(len(words[0].encode()) > LONGEST_WORD_BYTES for words in phrase.words):
            return tantivy.Query.empty_query()
        # Words hold letters, digits, marks and symbols outside ASCII: nothing that a pattern would read otherwise.
        patterns = [f"({'|'.join(words)})" for words in phrase.words]
        if phrase.prefix:
            patterns[-1] += ".*"
        if len(patterns) == 1 and phrase.prefix:
            return tantivy.Query.regex_query(self._schema, TEXT_FIELD, patterns[0])
        if len(patterns) == 1:
            words = phrase.words[0]
            return _any([tantivy.Query.term_query(self._schema, TEXT_FIELD, word) for word in words])
        if phrase.prefix or prod(map(len, phrase.words)) > _MOST_PHRASES:
            return tantivy.Query.regex_phrase_query(self._schema, TEXT_FIELD, patterns)
        spellings = product(*phrase.words)
        return _any([tantivy.Query.phrase_query(self._schema, TEXT_FIELD, list(words)) for words in spellings])

    @contextmanager
    def _searching(self) -> Iterator[None]:
        """Tell searches that tantivy refuses from an index that is damaged."""
        with noticing_damage(self.dataset_id):
            try:
                yield
            except ValueError as error:
                if not any(limit in str(error) for limit in _LIMITS):
                    raise
                raise MistudioError(
                    ErrorCode.INVALID_QUERY,
                    "A phrase of the search stands for too many words.",
                    "Write more letters before the *, or search for fewer words in a row.",
                ) from error


def _beginning(written: str, folded: str) -> str:
    """The shortest beginning of a word that folds to a folded word, or to more."""
    length = next(length for length in range(1, len(written) + 1) if fold(written[:length]).startswith(folded))
    return written[:length]


def _any(queries: Sequence[tantivy.Query]) -> tantivy.Query:
    import tantivy

    if len(queries) == 1:
        return queries[0]
    return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])
