"""The sample index on disk: what lies in its folder, writing it, and checking that it is whole.

What belongs here: making the folder `index/{id}` and proving it complete. What does not: searching (`search.py`), the
pass over the text that feeds it (`ingestion.py`).

    tantivy/         the inverted index: the search words of every text with their positions; no stored text (a page
                     of samples is read from the raw Parquet files, whose row groups are small)
    tokens.u32       number of whitespace tokens of each sample, in sample order
    accents.sqlite   for each word without accents, the words in the texts that differ from it by accents only
    index.json       written last: what the index was made from, and size and hash of every file
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import fsync_file, fsync_folder, write_json
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.fingerprint import Fingerprint
from mistudio_pipelines.text.search_words import LONGEST_WORD_BYTES, fold, prepare_for_index
from mistudio_pipelines.text.statistics_scan import TextBlock

if TYPE_CHECKING:
    import tantivy

SUMMARY_NAME: Final = "index.json"
TOKENS_NAME: Final = "tokens.u32"
ACCENTS_NAME: Final = "accents.sqlite"
TANTIVY_NAME: Final = "tantivy"
TEXT_FIELD: Final = "text"
NUMBER_FIELD: Final = "number"
RANK_FIELD: Final = "rank"
# A rank is tokens and number in one integer: sorted by it, samples are sorted by tokens, then by number.
NUMBER_BITS: Final = 36
MOST_RANKED_TOKENS: Final = (1 << 27) - 1

_TOKENIZER: Final = "spaces"
_WRITER_BYTES: Final = 400_000_000
# tantivy's queue holds 10,000 texts of any size, and a segment of this much text needs no merge below 3 GB.
_BYTES_PER_COMMIT: Final = 384_000_000
_ACCENTED_IN_MEMORY: Final = 50_000
_HASH_CHUNK: Final = 1 << 22


class IndexFile(BaseModel):
    """A file of the index: its path inside the folder, its bytes and their XXH3 hash."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    xxh3: str


class IndexSummary(BaseModel):
    """What `index.json` holds.

    Attributes:
        format_version: Version of this schema.
        dataset_id: Id of the dataset.
        fingerprint: What the index was made from.
        samples: Samples in it.
        text_bytes: Bytes of the texts in it.
        files: Every other file of the folder.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    dataset_id: str
    fingerprint: Fingerprint
    samples: int
    text_bytes: int
    files: tuple[IndexFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes on disk, without `index.json`."""
        return sum(file.bytes for file in self.files)


class SampleIndexWriter:
    """Writes an index into an empty folder; nothing in it is an index before `finish`.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        import tantivy

        (folder / TANTIVY_NAME).mkdir(parents=True)
        self._folder = folder
        self._index = tantivy.Index(_schema(), path=str(folder / TANTIVY_NAME))
        cut = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        self._index.register_tokenizer(
            _TOKENIZER, cut.filter(tantivy.Filter.remove_long(LONGEST_WORD_BYTES + 1)).build()
        )
        self._writer = self._index.writer(heap_size=_WRITER_BYTES, num_threads=min(2, os.cpu_count() or 1))
        self._tokens = (folder / TOKENS_NAME).open("wb")
        self._accents = sqlite3.connect(folder / ACCENTS_NAME, isolation_level=None)
        self._accents.execute("PRAGMA journal_mode = OFF")
        self._accents.execute("PRAGMA synchronous = OFF")
        self._accents.execute(
            "CREATE TABLE accents (folded TEXT, written TEXT, PRIMARY KEY (folded, written)) WITHOUT ROWID"
        )
        self._accented: set[str] = set()
        self._samples = 0
        self._text_bytes = 0
        self._uncommitted_bytes = 0

    def add(self, block: TextBlock, tokens: np.ndarray) -> None:
        """Index the next texts.

        Args:
            block: The texts.
            tokens: Number of whitespace tokens of each.
        """
        import tantivy

        prepared = prepare_for_index(block.data, block.ends.tolist())
        first = block.first_sample
        ranks = (np.minimum(tokens, MOST_RANKED_TOKENS) << NUMBER_BITS) + np.arange(first, first + len(tokens))
        for number, (text, rank) in enumerate(zip(prepared.texts, ranks.tolist(), strict=True), start=first):
            self._writer.add_document(tantivy.Document(text=text, number=number, rank=rank))
        tokens.astype("<u4").tofile(self._tokens)
        self._accented |= prepared.accented
        if len(self._accented) > _ACCENTED_IN_MEMORY:
            self._write_accented()
        self._samples += len(tokens)
        self._text_bytes += int(block.lengths.sum())
        self._uncommitted_bytes += len(block.data)
        if self._uncommitted_bytes >= _BYTES_PER_COMMIT:
            self._writer.commit()
            self._uncommitted_bytes = 0

    def finish(self, dataset_id: str, fingerprint: Fingerprint) -> IndexSummary:
        """Complete the folder: nothing is left in memory, everything is on disk and hashed.

        Args:
            dataset_id: Id of the dataset.
            fingerprint: What the index was made from.
        """
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._write_accented()
        self.close()
        for leftover in (self._folder / TANTIVY_NAME).glob("*.lock"):
            leftover.unlink()
        files = [path for path in sorted(self._folder.rglob("*")) if path.is_file()]
        for path in files:
            fsync_file(path)
        fsync_folder(self._folder / TANTIVY_NAME)
        summary = IndexSummary(
            dataset_id=dataset_id,
            fingerprint=fingerprint,
            samples=self._samples,
            text_bytes=self._text_bytes,
            files=tuple(
                IndexFile(path=str(path.relative_to(self._folder)), bytes=path.stat().st_size, xxh3=_hash(path))
                for path in files
            ),
        )
        write_json(self._folder / SUMMARY_NAME, summary.model_dump(mode="json"))
        return summary

    def close(self) -> None:
        """Close the files; what was written without `finish` is no index."""
        self._tokens.close()
        self._accents.close()

    def _write_accented(self) -> None:
        pairs = sorted((fold(word), word) for word in self._accented)
        self._accents.execute("BEGIN")
        self._accents.executemany("INSERT OR IGNORE INTO accents VALUES (?, ?)", pairs)
        self._accents.execute("COMMIT")
        self._accented = set()


def read_index_summary(store: DataStore, dataset_id: str) -> IndexSummary:
    """Read what an index says of itself.

    Raises:
        MistudioError: `index_missing` where there is none, `data_corrupt` where it cannot be read.
    """
    try:
        return IndexSummary.model_validate_json((store.index(dataset_id) / SUMMARY_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise index_error(
            ErrorCode.INDEX_MISSING, f"Dataset {dataset_id} has no search index yet.", dataset_id
        ) from error
    except (ValidationError, ValueError) as error:
        raise corrupt_index(dataset_id, f"{SUMMARY_NAME} cannot be read") from error


def check_index(store: DataStore, dataset_id: str, *, hashes: bool = True) -> list[str]:
    """What is wrong with an index, as sentences; empty where it is whole.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        hashes: False compares the sizes of the files only.
    """
    try:
        summary = read_index_summary(store, dataset_id)
    except MistudioError as error:
        return [error.message]
    folder = store.index(dataset_id)
    problems = [problem for file in summary.files if (problem := _check_file(folder, file, hashes))]
    counted = next((file.bytes for file in summary.files if file.path == TOKENS_NAME), 0) // 4
    if counted != summary.samples:
        problems.append(f"{TOKENS_NAME} counts the tokens of {counted} samples, of {summary.samples}.")
    if not problems:
        problems = _check_documents(folder, summary)
    return problems


def index_error(code: ErrorCode, message: str, dataset_id: str) -> MistudioError:
    """An error whose remedy is to make the index again."""
    return MistudioError(
        code,
        message,
        f"Make it: materialize `sample_index` for this partition, or run `mistudio retry {dataset_id}`.",
    )


def corrupt_index(dataset_id: str, problem: str) -> MistudioError:
    """The error of an index that is damaged."""
    return index_error(
        ErrorCode.DATA_CORRUPT, f"The search index of dataset {dataset_id} is damaged: {problem}.", dataset_id
    )


def _schema() -> tantivy.Schema:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field(TEXT_FIELD, stored=False, tokenizer_name=_TOKENIZER, index_option="position")
    builder.add_integer_field(NUMBER_FIELD, fast=True)
    builder.add_integer_field(RANK_FIELD, fast=True)
    return builder.build()


def _check_file(folder: Path, file: IndexFile, hashes: bool) -> str | None:
    path = folder / file.path
    if not path.is_file():
        return f"{file.path} is missing."
    size = path.stat().st_size
    if size != file.bytes:
        return f"{file.path} has {size} bytes, not {file.bytes}."
    if hashes and _hash(path) != file.xxh3:
        return f"{file.path} has changed since it was written."
    return None


def _check_documents(folder: Path, summary: IndexSummary) -> list[str]:
    import tantivy

    try:
        found: Any = tantivy.Index.open(str(folder / TANTIVY_NAME)).searcher().num_docs
    except (ValueError, OSError) as error:
        return [f"The index cannot be opened: {error}."]
    return [] if found == summary.samples else [f"The index holds {found} samples, of {summary.samples}."]


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())
