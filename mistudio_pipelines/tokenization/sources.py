"""Where a token came from: row and position → document and offset.

What belongs here: answering from the maps that were written beside the rows. What does not: making them
(`gathering.source_pieces`, `assembly.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.proof import read_tokenization
from mistudio_pipelines.tokenization.results import TokenFile, Tokenization


@dataclass(frozen=True)
class SourceStretch:
    """A stretch of a row that came from one document.

    Attributes:
        position: Where it begins in the row.
        length: Its tokens.
        sample: Number of the document's sample.
        offset: Number of its first token among the document's tokens (as the tokenizer gives them for the whole text).
    """

    position: int
    length: int
    sample: int
    offset: int


@dataclass(frozen=True)
class TokenSource:
    """The document that a token came from.

    Attributes:
        sample: Number of the document's sample.
        offset: Number of the token among the document's tokens.
    """

    sample: int
    offset: int


def sources_of_row(store: DataStore, dataset_id: str, preset: str, split: str, row: int) -> list[SourceStretch]:
    """The documents that a row was made from, in the row's order. Tokens between them are special or padding.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        split: The split.
        row: Number of the row in the split, as `load_dataset` counts.

    Raises:
        MistudioError: `invalid_query` where there is no such row, or the preset keeps no sources.
    """
    file, row_in_file = find_row(read_tokenization(store, dataset_id, preset), split, row)
    if file.sources is None:
        raise MistudioError(
            ErrorCode.INVALID_QUERY,
            f"Preset {preset} does not keep where tokens came from.",
            "Save a preset with keep_sources and tokenize with it.",
        )
    return read_stretches(store.tokenized(dataset_id, preset) / file.sources, row_in_file)


def read_stretches(path: Path, row: int) -> list[SourceStretch]:
    """What a row was made from, in the row's order.

    Args:
        path: The map beside a file of rows.
        row: Number of the row in the file.
    """
    # Row groups have the range of their rows, so that one or two of them are read.
    table = pq.read_table(path, filters=[("row", "=", row)], use_threads=False)
    columns = [table.column(name).to_pylist() for name in ("position", "length", "sample", "offset")]
    return [SourceStretch(*values) for values in zip(*columns, strict=True)]


def find_row(tokenization: Tokenization, split: str, row: int) -> tuple[TokenFile, int]:
    """The file that holds a row, and the row's number in it.

    Args:
        tokenization: What is published.
        split: The split.
        row: Number of the row in the split, as `load_dataset` counts.

    Raises:
        MistudioError: `invalid_query` where there is no such row.
    """
    first = 0
    for file in tokenization.files:
        if file.split != split:
            continue
        if first <= row < first + file.rows:
            return file, row - first
        first += file.rows
    raise MistudioError(
        ErrorCode.INVALID_QUERY,
        f"There is no row {row:,} in split {split} of dataset {tokenization.dataset_id} tokenized with "
        f"{tokenization.preset.name}.",
        "Its splits have "
        + ", ".join(f"{name}: {count:,} rows" for name, count in tokenization.rows_by_split.items())
        + ".",
    )


def source_of_token(
    store: DataStore, dataset_id: str, preset: str, split: str, row: int, position: int
) -> TokenSource | None:
    """The document and offset that one token came from; None for special tokens that were put in, and padding.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        split: The split.
        row: Number of the row in the split.
        position: Position in the row.

    Raises:
        MistudioError: As `sources_of_row`.
    """
    for stretch in sources_of_row(store, dataset_id, preset, split, row):
        if stretch.position <= position < stretch.position + stretch.length:
            return TokenSource(stretch.sample, stretch.offset + position - stretch.position)
    return None
