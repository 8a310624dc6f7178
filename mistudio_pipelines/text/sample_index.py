"""The sample index on disk: what lies in its folder, and checking that it is whole.

What belongs here: what the folder `index/{id}` holds and proving it whole. What does not: writing it
(`sample_index_writer.py`) and searching it (`search.py`).

    tantivy/         the inverted index: the search words of every text with their positions; no stored text (a page
                     of samples is read from the raw Parquet files, whose row groups are small)
    tokens.u32       number of whitespace tokens of each sample, in sample order
    accents.sqlite   for each word without accents, the words in the texts that differ from it by accents only
    index.json       written last: what the index was made from, and size and hash of every file
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.fingerprint import Fingerprint

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


@contextmanager
def noticing_damage(dataset_id: str) -> Iterator[None]:
    """Say of any failure inside the index that the index is damaged.

    Args:
        dataset_id: Id of the dataset.

    Raises:
        MistudioError: `data_corrupt`.
    """
    try:
        yield
    except (ValueError, OSError, sqlite3.Error) as error:
        raise corrupt_index(dataset_id, str(error)) from error
    except BaseException as error:
        # tantivy's own assertion failures; their class cannot be imported.
        if type(error).__name__ == "PanicException":
            raise corrupt_index(dataset_id, str(error)) from error
        raise


def _check_file(folder: Path, file: IndexFile, hashes: bool) -> str | None:
    path = folder / file.path
    if not path.is_file():
        return f"{file.path} is missing."
    size = path.stat().st_size
    if size != file.bytes:
        return f"{file.path} has {size} bytes, not {file.bytes}."
    if hashes and hash_file(path) != file.xxh3:
        return f"{file.path} has changed since it was written."
    return None


def _check_documents(folder: Path, summary: IndexSummary) -> list[str]:
    import tantivy

    try:
        with noticing_damage(summary.dataset_id):
            found = int(tantivy.Index.open(str(folder / TANTIVY_NAME)).searcher().num_docs)
    except MistudioError as error:
        return [error.message]
    return [] if found == summary.samples else [f"The index holds {found} samples, of {summary.samples}."]


def hash_file(path: Path) -> str:
    """XXH3 hash of a file, in hexadecimal."""
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())
