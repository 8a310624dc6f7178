"""The way in: a source file as a stream of Arrow tables, whatever its format and compression."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.formats.arrow_files import iter_arrow_tables, iter_parquet_tables
from mistudio_pipelines.text.formats.csv_files import iter_csv_tables
from mistudio_pipelines.text.formats.detection import MAGIC_BYTES, Compression, detect_compression
from mistudio_pipelines.text.formats.json_files import iter_json_tables
from mistudio_pipelines.text.formats.source import Reading, SourceFile
from mistudio_pipelines.text.formats.streams import iter_members
from mistudio_pipelines.text.formats.text_files import iter_text_tables


def iter_tables(source: SourceFile, reading: Reading) -> Iterator[pa.Table]:
    """The content of a source as tables of a few megabytes each.

    Columns only ever widen within one member, and may be different from one archive member to the next. A file that
    has columns but no rows gives a table without rows.

    Args:
        source: The file.
        reading: Its rules; told the position and what was replaced. `reading.options` are the source's.

    Raises:
        MistudioError: `unreadable_file` with file, line and column; `unsupported_format`; `path_not_found`.
        Stopped: As soon as `reading.should_stop` says so.
    """
    try:
        stored = source.path if stored_compression(source.path) is None else None
        for open_stream in iter_members(source.path, source.format, reading):
            if source.format == "json":
                yield from iter_json_tables(open_stream(), reading)
            elif source.format == "csv":
                yield from iter_csv_tables(open_stream, reading)
            elif source.format == "text":
                yield from iter_text_tables(open_stream(), reading)
            elif source.format == "arrow":
                yield from iter_arrow_tables(stored, open_stream, reading)
            else:
                yield from iter_parquet_tables(stored, open_stream, reading)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MistudioError(
            ErrorCode.PATH_NOT_FOUND, f"There is no file {reading.name}.", "Check the path; it may have been moved."
        ) from error
    except PermissionError as error:
        raise MistudioError(
            ErrorCode.UNREADABLE_FILE, f"{reading.name} may not be read.", "Give the user of this process the right to."
        ) from error


def stored_compression(path: Path) -> Compression | None:
    """How a stored file is compressed, from its first bytes."""
    with path.open("rb") as file:
        return detect_compression(file.read(MAGIC_BYTES))
