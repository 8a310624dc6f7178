"""Pages of samples: searched, filtered, sorted.

What belongs here: what a person asks for and what is shown. What does not: finding numbers (`search.py`), cutting
pieces out of texts (`snippets.py`), how a page looks in the terminal or the UI.
"""

from __future__ import annotations

import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME, Manifest, read_manifest
from mistudio_pipelines.text.filtering import Filters, page_of_ranges, page_of_tokens
from mistudio_pipelines.text.fingerprint import fingerprint_of
from mistudio_pipelines.text.parquet_writer import ROW_GROUP_ROWS
from mistudio_pipelines.text.query import Node, parse_query, positive_phrases
from mistudio_pipelines.text.reading import read_samples
from mistudio_pipelines.text.sample_index import SUMMARY_NAME, index_error
from mistudio_pipelines.text.sample_query import SampleQuery, check_query, token_range
from mistudio_pipelines.text.search import SampleIndex, WrittenPhrase
from mistudio_pipelines.text.snippets import Snippet, find_highlights, find_snippets

__all__ = ["Sample", "SampleBrowser", "SamplePage", "SampleQuery", "browse"]


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        number: Its place in the dataset, from 0.
        split: Its split.
        tokens: Number of its whitespace tokens.
        text: Its text; None where it has none.
        snippets: Pieces of the text around what was searched.
        metadata: Its other columns.
    """

    number: int
    split: str
    tokens: int
    text: str | None
    snippets: tuple[Snippet, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplePage:
    """A page of samples.

    Attributes:
        total: Samples that match, on all pages.
        page: Number of this page, from 1.
        pages: Number of pages.
        samples: The samples.
        elapsed_ms: How long it took.
        removed_by: Why there is nothing to show, as a sentence; None where there is something.
    """

    total: int
    page: int
    pages: int
    samples: list[Sample]
    elapsed_ms: float
    removed_by: str | None = None


def browse(store: DataStore, dataset_id: str, query: SampleQuery) -> SamplePage:
    """One page of a dataset's samples.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        query: What to show.

    Raises:
        MistudioError: `invalid_query`, `unknown_split_or_config`, `index_missing`, `data_corrupt`, `data_missing`.
    """
    browser = SampleBrowser(store, dataset_id)
    try:
        return browser.browse(query)
    finally:
        browser.close()


class SampleBrowser:
    """Shows pages of one dataset and keeps its index open between them; safe to use from several threads.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
    """

    def __init__(self, store: DataStore, dataset_id: str) -> None:
        self._store = store
        self._dataset_id = dataset_id
        self._lock = threading.Lock()
        self._opened: tuple[object, Manifest, SampleIndex] | None = None

    def close(self) -> None:
        """Let the index go; the next page opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened[2].close()
            self._opened = None

    def browse(self, query: SampleQuery) -> SamplePage:
        """One page of samples; see `browse`."""
        started = time.perf_counter()
        manifest, index = self._open()
        node = check_query(query, manifest)
        view = _View(manifest, index, query, node)
        total, numbers = view.page((query.page - 1) * query.page_size)
        pages = -(-total // query.page_size)
        samples = self._samples(view, numbers)
        removed_by = None if samples else view.explain_nothing(total, pages)
        return SamplePage(total, query.page, pages, samples, (time.perf_counter() - started) * 1000, removed_by)

    def count(self, query: SampleQuery) -> int:
        """Number of samples that match, on all pages; no text is read. Errors as `browse`."""
        manifest, index = self._open()
        return _View(manifest, index, query, check_query(query, manifest)).page(0)[0]

    def highlight(self, text: str, search: str) -> Snippet:
        """A whole text with the places that a search finds in it. Errors as `browse`.

        Args:
            text: The text of a sample.
            search: A query; empty for none.
        """
        if not search.strip():
            return Snippet(text)
        manifest, index = self._open()
        phrases = _View(manifest, index, SampleQuery(), parse_query(search)).phrases
        text = unicodedata.normalize("NFC", text)
        return Snippet(text, tuple(find_highlights(text, phrases)))

    def _open(self) -> tuple[Manifest, SampleIndex | MistudioError]:
        """Manifest and index as they are on disk now; a missing index is an error only to who needs it."""
        raw, index_folder = self._store.raw(self._dataset_id), self._store.index(self._dataset_id)
        with self._lock:
            state = tuple(_stamp(path) for path in (raw / MANIFEST_NAME, index_folder / SUMMARY_NAME))
            if self._opened is None or self._opened[0] != state:
                manifest = read_manifest(raw)
                index = self._open_index(manifest)
                if isinstance(index, MistudioError):
                    return manifest, index  # looked for again with the next page
                self._opened = (state, manifest, index)
            return self._opened[1], self._opened[2]

    def _open_index(self, manifest: Manifest) -> SampleIndex | MistudioError:
        try:
            index = SampleIndex(self._store, self._dataset_id)
        except MistudioError as error:
            return error
        if not index.summary.fingerprint.searchable_as(fingerprint_of(self._store, self._dataset_id, manifest)):
            index.close()
            return index_error(
                ErrorCode.INDEX_MISSING,
                f"The search index of dataset {self._dataset_id} was made from other raw files than are there now.",
                self._dataset_id,
            )
        return index

    def _samples(self, view: _View, numbers: list[int]) -> list[Sample]:
        if not numbers:
            return []
        manifest = view.manifest
        rows = self._read(manifest, numbers)
        samples = []
        for number in numbers:
            row = rows[number]
            text = row.pop(manifest.text_column)
            snippets = () if text is None else find_snippets(text, view.phrases)
            samples.append(Sample(number, view.split_of(number), view.tokens_of(number, text), text, snippets, row))
        return samples

    def _read(self, manifest: Manifest, numbers: list[int]) -> dict[int, dict[str, Any]]:
        """Samples by number; scattered ones are all decoding, which two threads do in half the time."""
        ordered = sorted(numbers)
        raw = self._store.raw(self._dataset_id)
        if ordered[-1] - ordered[0] < ROW_GROUP_ROWS:  # both threads would decode the same row groups
            return dict(zip(ordered, read_samples(raw, manifest, ordered).to_pylist(), strict=True))
        middle = len(ordered) // 2
        parts = (ordered[:middle], ordered[middle:])
        with ThreadPoolExecutor(len(parts)) as threads:
            tables = threads.map(lambda part: read_samples(raw, manifest, part).to_pylist(), parts)
            return dict(zip(ordered, chain.from_iterable(tables), strict=True))


class _View:
    """A query on an opened dataset."""

    def __init__(
        self, manifest: Manifest, index: SampleIndex | MistudioError, query: SampleQuery, node: Node | None
    ) -> None:
        self.manifest = manifest
        self.query = query
        self._index = index
        self._node = node
        ends = list(accumulate(manifest.rows_by_split.values(), initial=0))
        self._splits = dict(zip(manifest.rows_by_split, pairwise(ends), strict=True))
        ranges = None if not query.splits else tuple(sorted(self._splits[split] for split in set(query.splits)))
        self._filters = Filters(ranges, query.min_tokens, query.max_tokens)
        phrases = [] if node is None else positive_phrases(node)
        self.phrases: list[WrittenPhrase] = [self.index.written(phrase) for phrase in phrases]

    @property
    def index(self) -> SampleIndex:
        """The index, for what cannot be done without it."""
        if isinstance(self._index, MistudioError):
            raise self._index
        return self._index

    def page(self, offset: int) -> tuple[int, list[int]]:
        """Number of matching samples, and the numbers of those on the page."""
        limit, order = self.query.page_size, self.query.sort
        offset = min(offset, self.manifest.rows)  # pages may be asked for that no number of ours could hold
        if self._node is not None:
            return self.index.page(self._node, self._filters, offset, limit, order)
        ranges = self._filters.ranges or ((0, self.manifest.rows),)
        if self._filters.min_tokens is None and self._filters.max_tokens is None and order == "number":
            return page_of_ranges(ranges, offset, limit)
        return page_of_tokens(self.index.tokens, ranges, self._filters, offset, limit, order)

    def split_of(self, number: int) -> str:
        """Split of a sample."""
        return next(split for split, (start, end) in self._splits.items() if start <= number < end)

    def tokens_of(self, number: int, text: str | None) -> int:
        """Tokens of a sample, counted where there is no index to ask."""
        if isinstance(self._index, SampleIndex):
            return int(self._index.tokens[number])
        return len((text or "").split())

    def explain_nothing(self, total: int, pages: int) -> str:
        """Which wish left nothing, as a sentence."""
        query = self.query
        if total:
            return f"There is no page {query.page}: {total:,} samples fill {pages:,} page{'s' if pages > 1 else ''}."
        if not self.manifest.rows:
            return "The dataset has no samples."
        found = self._count(Filters())
        if not found:
            return f"No sample matches the search {query.search}."
        left = f"{found:,} samples match the search" if self._node is not None else f"There are {found:,} samples"
        if query.splits:
            found = self._count(Filters(self._filters.ranges))
            splits = " or ".join(query.splits)
            if not found:
                return f"{left}, but none of them is in split {splits}."
            left = f"{left}, {found:,} of them in split {splits}"
        return f"{left}, but none of these has {token_range(query)}."

    def _count(self, filters: Filters) -> int:
        if self._node is not None:
            return self.index.count(self._node, filters)
        return sum(end - start for start, end in filters.ranges or ((0, self.manifest.rows),))


def _stamp(path: Any) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
