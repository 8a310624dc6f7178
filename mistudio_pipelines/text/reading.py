"""Reading a finished raw folder: its texts in order, scattered samples, and the row groups that work is split by.

What belongs here: which rows and columns of a raw dataset are read. What does not: opening its files (`raw_files.py`),
how they came to be (`conversion.py`), and what is computed from the texts.

A sample's number is its position over all files in the manifest's order, from 0. Memory never depends on the size
of a file or of a row group: columns are streamed (`pre_buffer=False` and a read buffer; the defaults of pyarrow hold
the compressed column chunk, or the whole file).
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.raw_files import (
    column_index,
    damaged_file,
    first_samples,
    open_data_file,
    read_footer,
    text_bytes,
)
from mistudio_pipelines.text.utf8 import as_text, is_string_type

_SCATTERED_BATCH_ROWS = 256


@dataclass(frozen=True)
class RowGroup:
    """A piece of a raw dataset that can be read by itself.

    Attributes:
        file_index: Position of its file in the manifest.
        split: Split of its file.
        row_group: Its number inside the file.
        rows: Its samples.
        first_sample: Number of its first sample.
        bytes: Uncompressed bytes of its texts, as Parquet encodes them.
    """

    file_index: int
    split: str
    row_group: int
    rows: int
    first_sample: int
    bytes: int


@dataclass(frozen=True)
class TextBatch:
    """Consecutive texts of one row group.

    Attributes:
        file_index: Position of their file in the manifest.
        split: Split of their file.
        row_group: Row group they were read from.
        first_sample: Number of the first of them.
        texts: string or large_string array, valid UTF-8; a missing text is null.
        replaced_characters: Invalid UTF-8 sequences that were replaced by U+FFFD while these were read.
    """

    file_index: int
    split: str
    row_group: int
    first_sample: int
    texts: pa.Array
    replaced_characters: int = 0


def list_row_groups(folder: Path, manifest: Manifest) -> list[RowGroup]:
    """All row groups of a raw dataset that hold samples, in sample order; only footers are read.

    Args:
        folder: The raw folder.
        manifest: Its manifest.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where a file is not there or not what the manifest says.
    """
    groups: list[RowGroup] = []
    first_sample = 0
    for file_index, file in enumerate(manifest.files):
        footer = read_footer(folder, manifest, file_index)
        column = column_index(footer.metadata, manifest.text_column)
        for row_group, (start, end) in enumerate(pairwise(footer.starts.tolist())):
            if end > start:
                size = text_bytes(footer.metadata, row_group, column)
                groups.append(RowGroup(file_index, file.split, row_group, end - start, first_sample + start, size))
        first_sample += file.rows
    return groups


def iter_text_batches(
    folder: Path,
    manifest: Manifest,
    *,
    files: Collection[int] | None = None,
    row_groups: Collection[tuple[int, int]] | None = None,
    batch_rows: int = 4096,
    batch_bytes: int = 4 << 20,
    should_stop: ShouldStop = never_stop,
) -> Iterator[TextBatch]:
    """The texts of a raw dataset, in sample order; only the text column is read.

    Args:
        folder: The raw folder.
        manifest: Its manifest.
        files: Only these files, by position in the manifest; None for all.
        row_groups: Only these row groups, as (file_index, row_group); None for all.
        batch_rows: Most texts in one batch.
        batch_bytes: About how many bytes of text one batch should hold (the average of its row group decides).
        should_stop: Polled before every batch.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where a file is not there or not what the manifest says.
        Stopped: As soon as `should_stop` says so.
    """
    wanted = None if row_groups is None else set(row_groups)
    wanted_files = set(range(len(manifest.files))) if files is None else set(files)
    if wanted is not None:
        wanted_files &= {file_index for file_index, _ in wanted}
    first_of_file = first_samples(manifest)
    for file_index, file in enumerate(manifest.files):
        if file_index not in wanted_files:
            continue
        footer = read_footer(folder, manifest, file_index)
        column = column_index(footer.metadata, manifest.text_column)
        with open_data_file(folder, manifest, file_index) as parquet:
            for row_group, (start, end) in enumerate(pairwise(footer.starts.tolist())):
                if start == end or (wanted is not None and (file_index, row_group) not in wanted):
                    continue
                average = text_bytes(footer.metadata, row_group, column) / (end - start)
                rows = max(1, min(batch_rows, int(batch_bytes / max(1.0, average))))
                number = first_of_file[file_index] + start
                for texts, replaced in _iter_texts(parquet, manifest, file_index, row_group, rows):
                    if should_stop():
                        raise Stopped("Reading the texts")
                    yield TextBatch(file_index, file.split, row_group, number, texts, replaced)
                    number += len(texts)


def read_samples(
    folder: Path, manifest: Manifest, numbers: Sequence[int], columns: Sequence[str] | None = None
) -> pa.Table:
    """Scattered samples, in the order asked for; decodes only the row groups that hold them.

    Args:
        folder: The raw folder.
        manifest: Its manifest.
        numbers: Sample numbers, in any order, repeated or not.
        columns: Columns wanted, in this order; None for all. Only top-level names.

    Returns:
        One row per number. A column that a file does not have is null there.

    Raises:
        MistudioError: `invalid_query` for a number or column that does not exist; `data_missing` or `data_corrupt`
            where a file is not there or not what the manifest says.
    """
    asked = np.asarray(numbers, dtype=np.int64)
    if asked.size and (asked.min() < 0 or asked.max() >= manifest.rows):
        wrong = int(asked.min() if asked.min() < 0 else asked.max())
        raise MistudioError(
            ErrorCode.INVALID_QUERY,
            f"There is no sample {wrong} in dataset {manifest.dataset_id}, which has {manifest.rows} samples.",
            f"Choose a number from 0 to {manifest.rows - 1}." if manifest.rows else "",
        )
    ordered, position = np.unique(asked, return_inverse=True)
    first_of_file = first_samples(manifest)
    tables: list[pa.Table] = []
    start = 0
    while start < len(ordered):
        # bisect, not a search from the left: files without samples share their number with the next file.
        file_index = bisect.bisect_right(first_of_file, int(ordered[start])) - 1
        end_of_file = first_of_file[file_index] + manifest.files[file_index].rows
        end = int(np.searchsorted(ordered, end_of_file))
        rows = ordered[start:end] - first_of_file[file_index]
        tables.append(_read_rows(folder, manifest, file_index, rows, columns))
        start = end
    if not tables:
        return _empty_table(folder, manifest, columns)
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    if columns is not None:
        table = _select(table, columns, folder, manifest)
    return table.take(pa.array(position))


def _iter_texts(
    parquet: pq.ParquetFile, manifest: Manifest, file_index: int, row_group: int, batch_rows: int
) -> Iterator[tuple[pa.Array, int]]:
    batches = parquet.iter_batches(
        batch_size=batch_rows, row_groups=[row_group], columns=[manifest.text_column], use_threads=False
    )
    try:
        for batch in batches:
            yield as_text(batch.column(batch.schema.get_field_index(manifest.text_column)))
    except (pa.ArrowException, OSError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise damaged_file(manifest, file_index) from error


def _read_rows(
    folder: Path, manifest: Manifest, file_index: int, rows: np.ndarray, columns: Sequence[str] | None
) -> pa.Table:
    """Rows of one file, by sorted position in it."""
    pieces: list[pa.Table] = []
    with open_data_file(folder, manifest, file_index) as parquet:
        names = None if columns is None else sorted({manifest.text_column, *columns} & set(parquet.schema_arrow.names))
        starts = read_footer(folder, manifest, file_index).starts
        bounds = np.searchsorted(rows, starts)
        for row_group in np.flatnonzero(bounds[:-1] < bounds[1:]).tolist():
            wanted = rows[bounds[row_group] : bounds[row_group + 1]] - starts[row_group]
            pieces.extend(_read_group_rows(parquet, manifest, file_index, row_group, wanted, names))
    return pa.concat_tables(pieces)


def _read_group_rows(
    parquet: pq.ParquetFile,
    manifest: Manifest,
    file_index: int,
    row_group: int,
    rows: np.ndarray,
    names: list[str] | None,
) -> Iterator[pa.Table]:
    """Rows of one row group, by sorted position in it; decoding ends with the last of them."""
    first = 0
    try:
        for batch in parquet.iter_batches(
            batch_size=_SCATTERED_BATCH_ROWS, row_groups=[row_group], columns=names, use_threads=False
        ):
            start, end = np.searchsorted(rows, [first, first + batch.num_rows])
            if start < end:
                yield _with_valid_text(batch.take(pa.array(rows[start:end] - first)))
            first += batch.num_rows
            if end == len(rows):
                return
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged_file(manifest, file_index) from error


def _with_valid_text(batch: pa.RecordBatch) -> pa.Table:
    """The rows with every top-level text column as plain valid strings."""
    arrays = [as_text(column)[0] if is_string_type(column.type) else column for column in batch.columns]
    return pa.Table.from_arrays(arrays, names=batch.schema.names)


def _select(table: pa.Table, columns: Sequence[str], folder: Path, manifest: Manifest) -> pa.Table:
    known: dict[str, pa.Field] = {}
    if set(columns) - set(table.column_names):
        for file_index in range(len(manifest.files)):
            schema = read_footer(folder, manifest, file_index).metadata.schema.to_arrow_schema()
            known |= {field.name: field for field in schema if field.name not in known}
    for name in columns:
        if name not in table.column_names and name in known:
            table = table.append_column(known[name], pa.nulls(len(table), known[name].type))
        elif name not in table.column_names:
            raise MistudioError(
                ErrorCode.INVALID_QUERY,
                f"Dataset {manifest.dataset_id} has no column {name!r}.",
                f"Its columns are {', '.join(repr(name) for name in known)}.",
            )
    return table.select(list(columns))


def _empty_table(folder: Path, manifest: Manifest, columns: Sequence[str] | None) -> pa.Table:
    if not manifest.files:
        return pa.table({manifest.text_column: pa.array([], pa.string())})
    table = read_footer(folder, manifest, 0).metadata.schema.to_arrow_schema().empty_table()
    return table if columns is None else _select(table, columns, folder, manifest)
