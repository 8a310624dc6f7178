"""One step of a conversion: a few sources become Parquet files, or one Parquet file is kept as it is.

What belongs here: the way of the tables from a reader to a writer, the text column on the way, and the decision to
keep. What does not: the order of the steps and what is remembered of them (`conversion.py`, `conversion_units.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import ShouldStop
from mistudio_pipelines.store.atomic import fsync_file
from mistudio_pipelines.store.manifest import Origin, RawFile
from mistudio_pipelines.store.raw_folder import file_sha256, link_or_move
from mistudio_pipelines.text.columns import list_names
from mistudio_pipelines.text.conversion_units import Unit
from mistudio_pipelines.text.formats.reader import iter_tables, stored_compression
from mistudio_pipelines.text.formats.source import Reading, SourceFile
from mistudio_pipelines.text.formats.types import is_plain
from mistudio_pipelines.text.parquet_writer import ParquetPart, disk_full_is_explained, has_small_row_groups
from mistudio_pipelines.text.utf8 import as_text, is_string_type

# About a third of it on disk: large enough to be read in a stream, small enough to be copied or re-read by itself.
_PART_BYTES = 1 << 30
_COPY_BYTES = 1 << 20


def convert_unit(
    unit: Unit,
    prefix: Path,
    partial: Path,
    text_column: str,
    *,
    strict: bool,
    on_position: Callable[[int], None],
    should_stop: ShouldStop,
) -> tuple[RawFile, ...]:
    """Do one step.

    Args:
        unit: The sources, all of one split.
        prefix: Folder and beginning of the names of the files to write.
        partial: The dataset's partial folder; sources in it may be linked instead of copied.
        text_column: The column that holds the text.
        strict: True where invalid UTF-8 is refused.
        on_position: Told bytes of the sources done.
        should_stop: Polled for every table.

    Returns:
        The files, fsynced, under their preliminary names.

    Raises:
        MistudioError: As `conversion.build_raw_folder`.
        Stopped: As soon as `should_stop` says so.
    """
    first = unit[0]
    if len(unit) == 1 and first.format == "parquet" and not strict and _may_be_kept(first, text_column):
        return (_keep(first, Path(f"{prefix}000.parquet"), partial, on_position, should_stop),)
    parts = _Parts(prefix, first.split)
    try:
        before = 0
        for source in unit:
            reading = Reading(
                name=source.origin.path,
                options=source.reader_options,
                text_column=text_column,
                strict=strict,
                scratch=prefix.parent,
                should_stop=should_stop,
            )
            _convert_source(source, reading, parts, before, on_position)
            before += source.origin.size
        return parts.close()
    except BaseException:
        parts.abandon()
        raise


def rewrite_file(folder: Path, file: RawFile, schema: pa.Schema, should_stop: ShouldStop) -> RawFile:
    """A converted file once more, with other columns.

    Args:
        folder: Where it lies.
        file: What is known of it.
        schema: The columns it is to have; its own widen to them.
        should_stop: Polled for every row group.

    Returns:
        The new file under a new name; the old one is left where it is.
    """
    name = f"{file.path.removesuffix('.parquet')}w.parquet"
    part = ParquetPart(folder / name, schema)
    try:
        with pq.ParquetFile(folder / file.path, pre_buffer=False, buffer_size=_COPY_BYTES) as written:
            for row_group in range(written.num_row_groups):  # small ones, as everything in this folder has
                if should_stop():
                    raise Stopped(f"Rewriting {file.path}")
                part.write(written.read_row_group(row_group, use_threads=False))
        size, sha256 = part.close()
    except BaseException:
        part.abandon()
        raise
    origins = tuple(origin.model_copy(update={"unchanged": False}) for origin in file.origins)
    return file.model_copy(update={"path": name, "size": size, "sha256": sha256, "origins": origins})


class _Parts:
    """The Parquet files of one step: a new one is begun where the last has become large."""

    def __init__(self, prefix: Path, split: str) -> None:
        self._prefix = prefix
        self._split = split
        self._part: ParquetPart | None = None
        self._path = prefix
        self._origins: list[Origin] = []
        self._replaced = 0
        self._files: list[RawFile] = []

    def write(self, table: pa.Table, origin: Origin, replaced: int) -> None:
        """Take a table.

        Args:
            table: The rows.
            origin: Where they come from.
            replaced: Invalid sequences replaced in it.
        """
        if self._part is not None and self._part.written_bytes >= _PART_BYTES:
            self._finish_part()
        if self._part is None:
            self._path = Path(f"{self._prefix}{len(self._files):03d}.parquet")
            self._part = ParquetPart(self._path)
        if origin not in self._origins:
            self._origins.append(origin)
        self._replaced += replaced
        self._part.write(table)

    def close(self) -> tuple[RawFile, ...]:
        """Finish the last file and return all."""
        self._finish_part()
        return tuple(self._files)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._part is not None:
            self._part.abandon()
        for file in self._files:
            (self._prefix.parent / file.path).unlink(missing_ok=True)

    def _finish_part(self) -> None:
        if self._part is None:
            return
        size, sha256 = self._part.close()
        self._files.append(
            RawFile(
                path=self._path.name,
                split=self._split,
                rows=self._part.rows,
                size=size,
                sha256=sha256,
                origins=tuple(self._origins),
                replaced_characters=self._replaced,
            )
        )
        self._part = None
        self._origins = []
        self._replaced = 0


def _convert_source(
    source: SourceFile, reading: Reading, parts: _Parts, before: int, on_position: Callable[[int], None]
) -> None:
    columns: dict[str, None] = {}
    replaced = 0
    for table in iter_tables(source, reading):
        columns.update(dict.fromkeys(table.column_names))
        if reading.text_column in table.column_names:
            table = _with_text(table, reading)
        parts.write(table, source.origin, reading.replaced_characters - replaced)
        replaced = reading.replaced_characters
        on_position(before + min(reading.position, source.origin.size))
        reading.poll()
    if columns and reading.text_column not in columns:
        raise MistudioError(
            ErrorCode.NO_TEXT_COLUMN,
            f"{source.origin.path} has no column {reading.text_column!r}; its columns are {list_names(list(columns))}.",
            "Name the column that holds the text in every file, or leave this file out.",
            details={"file": source.origin.path, "columns": list(columns)},
        )


def _with_text(table: pa.Table, reading: Reading) -> pa.Table:
    """The table with its text column as text; binary columns are read as UTF-8, a column of nothing stays empty."""
    index = table.schema.get_field_index(reading.text_column)
    column = table.column(index)
    if is_string_type(column.type):
        return table
    if not (pa.types.is_null(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise MistudioError(
            ErrorCode.NO_TEXT_COLUMN,
            f"Column {reading.text_column!r} of {reading.name} holds {column.type}, not text.",
            "Choose another column.",
        )
    text, replaced = as_text(column.combine_chunks())
    reading.count_replaced(replaced, f"column {reading.text_column!r}")
    return table.set_column(index, pa.field(reading.text_column, text.type), text)


def _may_be_kept(source: SourceFile, text_column: str) -> bool:
    """Whether a Parquet file can be part of the raw folder as it is."""
    try:
        if source.reader_options or stored_compression(source.path) is not None:
            return False
        with pq.ParquetFile(source.path, pre_buffer=False) as parquet:
            schema = parquet.schema_arrow
            index = schema.get_field_index(text_column)  # -1 for none and for several of the name
            return (
                index >= 0
                and is_string_type(schema.field(index).type)
                and all(is_plain(data_type) for data_type in schema.types)
                and len(set(schema.names)) == len(schema.names)
                and has_small_row_groups(parquet.metadata)
            )
    except (pa.ArrowException, OSError):
        return False  # the conversion that follows says what is wrong


def _keep(
    source: SourceFile, target: Path, partial: Path, on_position: Callable[[int], None], should_stop: ShouldStop
) -> RawFile:
    """Take a Parquet file over byte for byte."""
    sha256 = source.origin.sha256
    if source.path.absolute().is_relative_to(partial.absolute()):
        link_or_move(source.path, target)
        sha256 = sha256 or file_sha256(target, should_stop=should_stop)
    else:
        copied = _copy(source.path, target, on_position, should_stop)
        if sha256 not in (None, copied):
            target.unlink()
            raise MistudioError(
                ErrorCode.UNREADABLE_FILE,
                f"{source.origin.path} changed while it was read.",
                "Add it again when nothing writes to it any more.",
            )
        sha256 = copied
    fsync_file(target)
    return RawFile(
        path=target.name,
        split=source.split,
        rows=pq.read_metadata(target).num_rows,
        size=target.stat().st_size,
        sha256=sha256,
        origins=(source.origin.model_copy(update={"unchanged": True}),),
    )


def _copy(source: Path, target: Path, on_position: Callable[[int], None], should_stop: ShouldStop) -> str:
    """Copy a file and return its sha256."""
    digest = hashlib.sha256()
    with disk_full_is_explained(target), source.open("rb") as original, target.open("wb") as copy:
        while block := original.read(_COPY_BYTES):
            digest.update(block)
            copy.write(block)
            on_position(copy.tell())
            if should_stop():
                raise Stopped(f"Copying {source.name}")
    return digest.hexdigest()
