"""Writing the Parquet files of a raw dataset: row groups small enough for a page of samples, hashed while written.

What belongs here: the form of our Parquet files, and the rule whether a file from outside has it already. What does
not: where the tables come from and what the files are called in the end.

Row groups (`benchmarks/row_groups.py`, 100 MB, one core; one text out of each): 512 KiB of data cost 0.6 to 0.9 ms,
256 KiB 0.4, 128 KiB 0.2 to 0.3 and 4 % more disk. Dictionaries of texts that hardly repeat, and the least and greatest
text of each row group, made files 3 to 8 % larger and footers eight times as large. zstd 3 makes 170 MB/s and 0.70 of
what level 1 leaves over raw size 0.75.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.store.room import FLOOR_BYTES
from mistudio_pipelines.store.space import free_bytes
from mistudio_pipelines.text.formats.types import conform_table, plain_schema, widen_schema
from mistudio_pipelines.text.utf8 import is_string_type

ROW_GROUP_BYTES = 256 << 10
ROW_GROUP_ROWS = 1000
# A file from outside is kept byte for byte up to this: 50 scattered samples then cost about 150 ms.
KEPT_ROW_GROUP_BYTES = 2 << 20
_BUFFERED_BYTES = 4 << 20
_SPACE_CHECK_BYTES = 64 << 20
_COMPRESSION = {"compression": "zstd", "compression_level": 3}
_LONG_TEXT_BYTES = 64


def has_small_row_groups(metadata: pq.FileMetaData) -> bool:
    """Whether a Parquet file can be browsed as it is: at most 1,000 rows and 2 MiB in each row group."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return all(group.num_rows <= ROW_GROUP_ROWS and group.total_byte_size <= KEPT_ROW_GROUP_BYTES for group in groups)


class ParquetPart:
    """One Parquet file that is written; its columns may widen on the way.

    Args:
        path: Where it is written; replaced if it is there.
        schema: Columns known before the first table.
        floor_bytes: Free bytes of the disk below which writing stops.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None, *, floor_bytes: int = FLOOR_BYTES) -> None:
        self._path = path
        self._narrow_path = path.with_name(f"{path.name}.narrow")
        self._floor_bytes = floor_bytes
        self._schema = plain_schema(schema) if schema is not None else pa.schema([])
        self._writer: pq.ParquetWriter | None = None
        self._file: _HashingFile | None = None
        self._buffered: list[pa.Table] = []
        self._buffered_bytes = 0
        self._unchecked_bytes = _SPACE_CHECK_BYTES
        self._long_texts: list[str] | None = None
        # Compression is half of the work and needs no interpreter: one thread does it while the next tables are read.
        self._compressor = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._compressing: Future[None] | None = None
        self.rows = 0
        self.written_bytes = 0
        """Bytes of the tables taken so far, uncompressed."""

    @property
    def schema(self) -> pa.Schema:
        """The columns so far."""
        return self._schema

    def write(self, table: pa.Table) -> None:
        """Take a table; columns it brings along are null in what was written before.

        Raises:
            MistudioError: `insufficient_storage`.
        """
        plain = plain_schema(table.schema)
        widened = widen_schema(self._schema, plain) if len(self._schema) else plain
        if widened != self._schema:
            self._widen(widened)
        table = conform_table(table, self._schema)
        self.rows += table.num_rows
        self.written_bytes += table.nbytes
        self._buffered.append(table)
        self._buffered_bytes += table.nbytes
        if self._buffered_bytes >= _BUFFERED_BYTES:
            self._flush(last=False)

    def close(self) -> tuple[int, str]:
        """Finish the file and make it survive a power loss.

        Returns:
            Its size and sha256.
        """
        self._flush(last=True)
        self._await_compressor()
        self._compressor.shutdown()
        with disk_full_is_explained(self._path):
            writer, file = self._open_writer()
            writer.close()
            return file.finish()

    def abandon(self) -> None:
        """Close the file without finishing it and remove it."""
        self._compressor.shutdown()
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)
        self._narrow_path.unlink(missing_ok=True)

    def _open_writer(self) -> tuple[pq.ParquetWriter, _HashingFile]:
        if self._writer is None or self._file is None:
            self._file = _HashingFile(self._path)
            described = [path for path in _leaf_paths(self._schema) if path not in (self._long_texts or ())]
            self._writer = pq.ParquetWriter(
                self._file, self._schema, use_dictionary=described, write_statistics=described, **_COMPRESSION
            )
        return self._writer, self._file

    def _flush(self, *, last: bool) -> None:
        if not self._buffered:
            return
        table = pa.concat_tables(self._buffered)
        if self._long_texts is None:
            self._long_texts = long_text_columns(table)
        rows_per_group = group_rows(table.num_rows, self._buffered_bytes)
        end = table.num_rows if last else table.num_rows - table.num_rows % rows_per_group
        self._await_compressor()
        self._check_space(table.nbytes)
        if end:
            self._compressing = self._compressor.submit(self._compress, table.slice(0, end), rows_per_group)
        rest = table.slice(end)
        self._buffered = [rest] if rest.num_rows else []
        self._buffered_bytes = rest.nbytes

    def _compress(self, table: pa.Table, rows_per_group: int) -> None:
        self._open_writer()[0].write_table(table, row_group_size=rows_per_group)

    def _await_compressor(self) -> None:
        """Wait for the tables handed over before, and raise what went wrong with them."""
        if self._compressing is not None:
            with disk_full_is_explained(self._path):
                self._compressing.result()
            self._compressing = None

    def _check_space(self, size: int) -> None:
        self._unchecked_bytes += size
        if self._unchecked_bytes >= _SPACE_CHECK_BYTES:
            self._unchecked_bytes = 0
            free = free_bytes(self._path.parent)
            if free < self._floor_bytes:
                raise _disk_full(self._path, free)

    def _widen(self, schema: pa.Schema) -> None:
        """Go on with more or wider columns; what is in the file already is written again."""
        self._await_compressor()
        self._buffered = [conform_table(table, schema) for table in self._buffered]
        self._schema = schema
        if self._writer is None or self._file is None:
            return
        self._writer.close()
        self._file.close()
        self._path.replace(self._narrow_path)
        self._writer = self._file = None
        writer, _ = self._open_writer()
        with disk_full_is_explained(self._path), pq.ParquetFile(self._narrow_path, pre_buffer=False) as written:
            for row_group in range(written.num_row_groups):
                writer.write_table(conform_table(written.read_row_group(row_group, use_threads=False), schema))
        self._narrow_path.unlink()


def group_rows(rows: int, size: int) -> int:
    """Rows of a row group, from rows and bytes of a sample of the data."""
    average = max(1.0, size / max(1, rows))
    return max(1, min(ROW_GROUP_ROWS, int(ROW_GROUP_BYTES / average)))


def long_text_columns(table: pa.Table) -> list[str]:
    """Columns of texts that are long on average: values that hardly repeat, and that nobody compares.

    Args:
        table: Some of the data.
    """
    least = _LONG_TEXT_BYTES * max(1, table.num_rows)
    return [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if is_string_type(column.type) and column.nbytes >= least
    ]


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """How Parquet names the columns that values are stored in; nested columns have several."""
    nothing = io.BytesIO()
    pq.write_table(schema.empty_table(), nothing)
    stored = pq.read_metadata(nothing).schema
    return [stored.column(number).path for number in range(len(stored))]


def _disk_full(path: Path, free: int) -> MistudioError:
    """The error for a disk that has no room left."""
    return MistudioError(
        ErrorCode.INSUFFICIENT_STORAGE,
        f"The disk of {path.parent} is full: {format_bytes(free)} are free, less than may be used up.",
        "Make room (`mistudio list` shows the datasets by size), then retry: finished files are kept.",
    )


@contextmanager
def disk_full_is_explained(path: Path) -> Iterator[None]:
    """Turn the system's "no space left" while a file is written into the error that people see."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(path, free_bytes(path.parent)) from error
        raise


class _HashingFile(io.RawIOBase):
    """A new file whose sha256 is known when its last byte is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, content: Any) -> int:
        self._digest.update(content)
        count = self._file.write(content)
        self._size += count
        return count

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()

    def finish(self) -> tuple[int, str]:
        """Make the bytes durable, close, and return size and sha256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        return self._size, self._digest.hexdigest()
