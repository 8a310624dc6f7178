"""The Parquet files of a raw folder: their footers, remembered, and how they are opened.

What belongs here: what all reading of raw files has in common. What does not: which rows are read (`reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.manifest import Manifest

_READ_BUFFER_BYTES = 1 << 20
_CACHED_FOOTERS = 64


def first_samples(manifest: Manifest) -> list[int]:
    """Number of the first sample of each file."""
    return [0, *accumulate(file.rows for file in manifest.files)][:-1]


@dataclass(frozen=True)
class Footer:
    """A file's footer, and the position of each row group's first row (with the number of rows at the end)."""

    metadata: pq.FileMetaData
    starts: np.ndarray


@lru_cache(maxsize=_CACHED_FOOTERS)
def _cached_footer(path: str, _size: int, _modified: int) -> Footer:
    # Size and time are in the key so that a file that was replaced is not read with an old footer.
    metadata = pq.read_metadata(path)
    rows = (metadata.row_group(row_group).num_rows for row_group in range(metadata.num_row_groups))
    return Footer(metadata, np.fromiter(accumulate(rows, initial=0), dtype=np.int64))


def read_footer(folder: Path, manifest: Manifest, file_index: int) -> Footer:
    """A file's footer, from memory where the file did not change.

    Raises:
        MistudioError: `data_missing`, `data_corrupt`.
    """
    file = manifest.files[file_index]
    path = folder / file.path
    try:
        status = path.stat()
        footer = _cached_footer(str(path), status.st_size, status.st_mtime_ns)
    except FileNotFoundError as error:
        raise MistudioError(
            ErrorCode.DATA_MISSING,
            f"File {file.path} of dataset {manifest.dataset_id} is missing.",
            f"Download it again: `mistudio retry {manifest.dataset_id}`.",
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise damaged_file(manifest, file_index) from error
    if footer.metadata.num_rows != file.rows:
        raise damaged_file(manifest, file_index)
    return footer


def damaged_file(manifest: Manifest, file_index: int) -> MistudioError:
    """The error for a file that is not what the manifest says."""
    return MistudioError(
        ErrorCode.DATA_CORRUPT,
        f"File {manifest.files[file_index].path} of dataset {manifest.dataset_id} is damaged.",
        f"Download it again: `mistudio retry {manifest.dataset_id}`.",
    )


def open_data_file(folder: Path, manifest: Manifest, file_index: int) -> pq.ParquetFile:
    """A file opened so that columns are streamed, whatever the size of its row groups.

    Raises:
        MistudioError: `data_missing`, `data_corrupt`.
    """
    return pq.ParquetFile(
        folder / manifest.files[file_index].path,
        metadata=read_footer(folder, manifest, file_index).metadata,
        pre_buffer=False,
        buffer_size=_READ_BUFFER_BYTES,
    )


def column_index(metadata: pq.FileMetaData, name: str) -> int | None:
    """Position of a top-level column that is not nested; None where there is none."""
    for index in range(metadata.num_columns):
        if metadata.schema.column(index).path == name:
            return index
    return None


def text_bytes(metadata: pq.FileMetaData, row_group: int, column: int | None) -> int:
    """Uncompressed bytes of a column of a row group, or of all of it where the column is not known."""
    group = metadata.row_group(row_group)
    return int(group.total_byte_size if column is None else group.column(column).total_uncompressed_size)
