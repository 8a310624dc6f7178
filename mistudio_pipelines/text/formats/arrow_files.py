"""Arrow IPC (file or stream form) and Parquet, read in pieces.

What belongs here: binary columnar files. Their types are made plain (`types.py`) and their texts valid; no record batch
and no row group is copied as a whole.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines.text.formats.types import conform, plain_schema
from mistudio_pipelines.text.utf8 import as_bytes_type, as_text, is_string_type

_ROWS_PER_TABLE = 4096
_BYTES_PER_TABLE = 4 << 20
_READ_BUFFER_BYTES = 1 << 20
_FILE_MAGIC = b"ARROW1\0\0"


# A damaged name of a column is no UTF-8 any more.
_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)


def iter_arrow_tables(path: Path | None, open_stream: Callable[[], BinaryIO], reading: Reading) -> Iterator[pa.Table]:
    """Tables of an Arrow file.

    Args:
        path: The file where it lies uncompressed on disk (it is mapped then), or None.
        open_stream: Opens its content otherwise.
        reading: The file.

    Raises:
        MistudioError: `unreadable_file`.
    """
    reading.check_options()
    with pa.memory_map(str(path)) if path else io.BufferedReader(cast("io.RawIOBase", open_stream())) as source:
        try:
            # The file form is the stream form after eight bytes: it is read without seeking, also from an archive.
            head = source.read(len(_FILE_MAGIC)) if path else source.peek(len(_FILE_MAGIC))[: len(_FILE_MAGIC)]
            if path and head != _FILE_MAGIC:
                source.seek(0)
            elif not path and head == _FILE_MAGIC:
                source.read(len(_FILE_MAGIC))
            with pa.ipc.open_stream(source) as batches:
                for table in _iter_plain(batches, batches.schema, reading):
                    reading.position = source.tell() if path else reading.position
                    yield table
        except _DAMAGED as error:
            reading.fail(f"it is not a whole Arrow file ({_first_line(error)})")


def iter_parquet_tables(path: Path | None, open_stream: Callable[[], BinaryIO], reading: Reading) -> Iterator[pa.Table]:
    """Tables of a Parquet file.

    Args:
        path: The file where it lies uncompressed on disk, or None.
        open_stream: Opens its content otherwise; it is unpacked to a temporary file, because Parquet begins at its end.
        reading: The file.

    Raises:
        MistudioError: `unreadable_file`.
    """
    reading.check_options("columns")
    columns = reading.options.get("columns")
    with _on_disk(path, open_stream, reading) as stored:
        try:
            with pq.ParquetFile(stored, pre_buffer=False, buffer_size=_READ_BUFFER_BYTES) as parquet:
                schema = parquet.schema_arrow
                if columns is not None:
                    columns = [name for name in schema.names if name in set(columns)]
                    schema = pa.schema([schema.field(name) for name in columns])
                yield from _iter_plain(_iter_row_groups(parquet, stored, columns, reading), schema, reading)
        except _DAMAGED as error:
            reading.fail(f"it is not a whole Parquet file ({_first_line(error)})")


def _iter_row_groups(
    parquet: pq.ParquetFile, stored: Path, columns: list[str] | None, reading: Reading
) -> Iterator[pa.RecordBatch]:
    metadata = parquet.metadata
    size = stored.stat().st_size
    rows_read = 0
    for row_group in range(metadata.num_row_groups):
        group = metadata.row_group(row_group)
        rows = _rows_per_table(group.total_byte_size, group.num_rows)
        for batch in parquet.iter_batches(batch_size=rows, row_groups=[row_group], columns=columns, use_threads=False):
            yield batch
            rows_read += batch.num_rows
            # Footers and columns are read back and forth: what is done of the rows stands for the position.
            reading.position = max(reading.position, size * rows_read // max(1, metadata.num_rows))


def _iter_plain(batches: Iterable[pa.RecordBatch], schema: pa.Schema, reading: Reading) -> Iterator[pa.Table]:
    plain = plain_schema(schema)
    if len(set(plain.names)) < len(plain.names):
        reading.fail("two of its columns have the same name", "Rename one of them.")
    yield plain.empty_table()  # the columns of a file without rows are known too
    first_row = 0
    for batch in batches:
        rows = _rows_per_table(batch.nbytes, batch.num_rows)
        for start in range(0, batch.num_rows, rows):
            reading.poll()
            yield _plain_table(batch.slice(start, rows), plain, first_row + start, reading)
        first_row += batch.num_rows


def _rows_per_table(size: int, rows: int) -> int:
    average = max(1.0, size / max(1, rows))
    return max(1, min(_ROWS_PER_TABLE, int(_BYTES_PER_TABLE / average)))


def _plain_table(batch: pa.RecordBatch, plain: pa.Schema, first_row: int, reading: Reading) -> pa.Table:
    arrays = []
    for column, field in zip(batch.columns, plain, strict=True):
        if is_string_type(column.type):
            text, replaced = as_text(column)
            reading.count_replaced(replaced, f"column {field.name!r}, rows {first_row} to {first_row + len(batch) - 1}")
            arrays.append(conform(text, field.type))
        else:
            arrays.append(conform(_checked(column, field.name, first_row, reading), field.type))
    return pa.Table.from_arrays(arrays, schema=plain)


def _checked(column: pa.Array, name: str, first_row: int, reading: Reading) -> pa.Array:
    """The column once it is proved sound: a file from outside may lie about offsets, and what follows believes them.

    Where only texts inside lists or structs are invalid UTF-8 they come as bytes, which become repaired text later.
    """
    try:
        column.validate(full=True)
        return column
    except pa.ArrowInvalid:
        as_bytes = as_bytes_type(column.type)
        if as_bytes == column.type:
            raise
        content = column.view(as_bytes)
        content.validate(full=True)
        # How many there are inside is not counted: one for the table, so that the file shows as repaired.
        reading.count_replaced(1, f"column {name!r}, rows {first_row} to {first_row + len(column) - 1}")
        return content


@contextmanager
def _on_disk(path: Path | None, open_stream: Callable[[], BinaryIO], reading: Reading) -> Iterator[Path]:
    if path is not None:
        yield path
        return
    with tempfile.NamedTemporaryFile(dir=reading.scratch, prefix=".unpacked-", suffix=".parquet") as unpacked:
        shutil.copyfileobj(open_stream(), unpacked, _READ_BUFFER_BYTES)
        unpacked.flush()
        yield Path(unpacked.name)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
