"""Writing the sample index, or one part of it: texts go in block by block, complete files come out.

What belongs here: everything that only the writer knows (threads, memory, commits). What does not: what lies in the
folder (`sample_index.py`), joining and sealing parts (`sample_index_parts.py`), the pass over the text that feeds it
(`ingestion.py`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.space import free_bytes
from mistudio_pipelines.text.index_segments import join_segments, remove_leftovers
from mistudio_pipelines.text.sample_index import (
    ACCENTS_NAME,
    MOST_RANKED_TOKENS,
    NUMBER_BITS,
    NUMBER_FIELD,
    RANK_FIELD,
    TANTIVY_NAME,
    TEXT_FIELD,
    TOKENS_NAME,
)
from mistudio_pipelines.text.search_words import LONGEST_WORD_BYTES, fold, prepare_for_index
from mistudio_pipelines.text.statistics_scan import TextBlock

if TYPE_CHECKING:
    import tantivy

ACCENTS_TABLE: Final = "CREATE TABLE accents (folded TEXT, written TEXT, PRIMARY KEY (folded, written)) WITHOUT ROWID"
_TOKENIZER: Final = "spaces"
_WRITER_BYTES_PER_THREAD: Final = 256_000_000
# Eight segments of an index would be merged, which is work again and maps all of their files into memory. So every so
# many bytes of text begin an index of their own, and in the end all segments move into one. What it costs a search to
# look into each of them, `benchmarks/search.py` shows; memory, `benchmarks/ingestion.py`.
_BYTES_PER_INDEX: Final = 360_000_000
_ACCENTED_IN_MEMORY: Final = 50_000
# tantivy does not say why it could not write; with less than this left it was the disk.
_TOO_LITTLE_FREE: Final = 64_000_000


@dataclass(frozen=True)
class IndexPart:
    """The finished files of consecutive samples.

    Attributes:
        folder: Where they lie.
        samples: How many samples.
        text_bytes: Bytes of their texts.
    """

    folder: Path
    samples: int
    text_bytes: int


class SampleIndexWriter:
    """Writes a part of an index into an empty folder; nothing in it is of use before `finish`.

    Args:
        folder: The folder.
        dataset_id: Id of the dataset.
        threads: How many threads cut, sort and compress; each has its own memory.
    """

    def __init__(self, folder: Path, dataset_id: str, *, threads: int = 2) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._dataset_id = dataset_id
        self._threads = threads
        self._written: list[Path] = []
        self._writer = self._begin_index(folder / TANTIVY_NAME)
        self._tokens = (folder / TOKENS_NAME).open("wb")
        self._accents = sqlite3.connect(folder / ACCENTS_NAME, isolation_level=None)
        self._accents.execute("PRAGMA journal_mode = OFF")
        self._accents.execute("PRAGMA synchronous = OFF")
        self._accents.execute(ACCENTS_TABLE)
        self._accented: set[str] = set()
        self._samples = 0
        self._text_bytes = 0
        self._bytes_in_index = 0
        self._finished = False

    def add(self, block: TextBlock, tokens: np.ndarray) -> None:
        """Index the next texts.

        Args:
            block: The texts.
            tokens: Number of whitespace tokens of each.
        """
        with explaining_failures(self._folder, self._dataset_id):
            self._add(block, tokens)
        self._samples += len(tokens)
        self._text_bytes += int(block.lengths.sum())

    def _add(self, block: TextBlock, tokens: np.ndarray) -> None:
        import tantivy

        prepared = prepare_for_index(block.data, block.ends.tolist())
        first = block.first_sample
        ranks = (np.minimum(tokens, MOST_RANKED_TOKENS) << NUMBER_BITS) + np.arange(first, first + len(tokens))
        numbers = range(first, first + len(tokens))
        new_document, add_document = tantivy.Document, self._writer.add_document
        for number, rank, text in zip(numbers, ranks.tolist(), prepared.texts, strict=True):
            # Four times as fast as naming the fields in the constructor.
            document = new_document()
            document.add_text(TEXT_FIELD, text)
            document.add_integer(NUMBER_FIELD, number)
            document.add_integer(RANK_FIELD, rank)
            add_document(document)
        tokens.astype("<u4").tofile(self._tokens)
        self._accented |= prepared.accented
        if len(self._accented) > _ACCENTED_IN_MEMORY:
            self._write_accented()
        self._bytes_in_index += len(block.data)
        if self._bytes_in_index >= _BYTES_PER_INDEX:
            self._end_index()
            self._writer = self._begin_index(self._folder / f"{TANTIVY_NAME}-{len(self._written)}")

    def _begin_index(self, folder: Path) -> tantivy.IndexWriter:
        import tantivy

        folder.mkdir()
        index = tantivy.Index(_schema(), path=str(folder))
        cut = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        index.register_tokenizer(_TOKENIZER, cut.filter(tantivy.Filter.remove_long(LONGEST_WORD_BYTES + 1)).build())
        self._written.append(folder)
        self._bytes_in_index = 0
        return index.writer(heap_size=self._threads * _WRITER_BYTES_PER_THREAD, num_threads=self._threads)

    def _end_index(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()

    def finish(self) -> IndexPart:
        """Complete the files: nothing is left in memory."""
        with explaining_failures(self._folder, self._dataset_id):
            self._end_index()
            self._finished = True
            self._write_accented()
            self.close()
            for folder in self._written:
                remove_leftovers(folder)
            first, *others = self._written
            join_segments(first, others)
            for folder in others:
                shutil.rmtree(folder)
        return IndexPart(self._folder, self._samples, self._text_bytes)

    def close(self) -> None:
        """Close the files and end tantivy's threads; what was written without `finish` is no index."""
        if not self._finished:
            # Threads that go on writing would fill the folder while it is being removed.
            with suppress(ValueError, OSError):
                self._writer.rollback()
                self._writer.wait_merging_threads()
            self._finished = True
        self._tokens.close()
        self._accents.close()

    def _write_accented(self) -> None:
        pairs = sorted((fold(word), word) for word in self._accented)
        self._accents.execute("BEGIN")
        self._accents.executemany("INSERT OR IGNORE INTO accents VALUES (?, ?)", pairs)
        self._accents.execute("COMMIT")
        self._accented = set()


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field(TEXT_FIELD, stored=False, tokenizer_name=_TOKENIZER, index_option="position")
    builder.add_integer_field(NUMBER_FIELD, fast=True)
    builder.add_integer_field(RANK_FIELD, fast=True)
    return builder.build()


@contextmanager
def explaining_failures(folder: Path, dataset_id: str) -> Iterator[None]:
    """Say what kept an index from being written.

    Args:
        folder: Where it was being written.
        dataset_id: Id of the dataset.

    Raises:
        MistudioError: `insufficient_storage` or `internal`.
    """
    try:
        yield
    except (ValueError, OSError, sqlite3.Error) as error:
        if free_bytes(folder) < _TOO_LITTLE_FREE:
            raise MistudioError(
                ErrorCode.INSUFFICIENT_STORAGE,
                f"The disk is full: the search index of dataset {dataset_id} could not be written.",
                "Free some space (`mistudio list` shows what takes it), then start it again.",
            ) from error
        raise MistudioError(
            ErrorCode.INTERNAL,
            f"The search index of dataset {dataset_id} could not be written: {error}.",
            "Start it again; if that does not help, please report this.",
        ) from error
