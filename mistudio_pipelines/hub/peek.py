"""The columns of a remote file, from a few small ranged reads.

What belongs here: for each format the least that must be read to know names and types. What does not: which column
is the text (`text/columns.py`), reading whole files (`text/`).
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import lzma
import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.configs import infer_format, of_format
from mistudio_pipelines.hub.ranged import RangedFile
from mistudio_pipelines.hub.tree import TreeFile

_FIRST_BYTES = 512 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_ENOUGH_ROWS = 100
_TEXT_COLUMN = "text"
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_XZ = ".xz"


@dataclass(frozen=True)
class Peek:
    """What a look into a file found.

    Attributes:
        columns: Arrow types by name, or None where they cannot be known without reading all of it.
        column_bytes: Uncompressed bytes of each column in this file, where the format says so.
        member_format: For an archive without a format in its name: the format of its members.
        member_options: Reader options that follow from the members' names.
    """

    columns: Mapping[str, str] | None
    column_bytes: Mapping[str, int] = field(default_factory=dict)
    member_format: str | None = None
    member_options: Mapping[str, Any] = field(default_factory=dict)


def peek(
    client: HubClient,
    repository: str,
    commit: str,
    file: TreeFile,
    file_format: str | None,
    reader_options: Mapping[str, Any],
) -> Peek:
    """Look into a file of a repository.

    Args:
        client: The Hub.
        repository: Id of the dataset repository.
        commit: The commit.
        file: The file.
        file_format: Its format, or None for an archive whose members decide.
        reader_options: How the format is to be read.

    Raises:
        MistudioError: `unsupported_format` where the file is not what its name says; what the Hub refuses.
    """
    source = RangedFile(client, repository, commit, file)
    try:
        if posixpath.splitext(file.path)[1].lower() == ".zip":
            return _peek_archive(source, file_format, reader_options)
        return _peek_stream(source, file.path, file_format or "", reader_options)
    except (pa.ArrowException, OSError, EOFError, ValueError, csv.Error, zipfile.BadZipFile, lzma.LZMAError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The file '{file.path}' of '{repository}' cannot be read as {file_format or 'an archive'}: {reason}",
            "Choose another config or split, or tell the dataset's authors.",
        ) from error


def _peek_archive(source: RangedFile, file_format: str | None, reader_options: Mapping[str, Any]) -> Peek:
    with zipfile.ZipFile(cast(BinaryIO, source)) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir() and "__MACOSX/" not in info.filename]
        member_format, options = infer_format(tuple(names))
        chosen = file_format or member_format
        members = of_format(tuple(names), chosen) if chosen else ()
        if not members:
            raise ValueError("the archive has no data files of a known format")
        if chosen in ("parquet", "arrow"):
            # These are read from their end: known only after the archive is unpacked.
            return Peek(None, member_format=chosen, member_options=options)
        with archive.open(members[0]) as member:
            found = _peek_stream(member, members[0], chosen or "", {**options, **reader_options})
    return Peek(found.columns, member_format=chosen, member_options=options)


def _peek_stream(source: Any, path: str, file_format: str, reader_options: Mapping[str, Any]) -> Peek:
    suffix = posixpath.splitext(path)[1].lower()
    if file_format == "parquet":
        return _peek_parquet(source)
    if file_format == "arrow":
        return Peek(_arrow_columns(source))
    if file_format == "text":
        source.read(1)  # also tells whether we may read it at all
        return Peek({_TEXT_COLUMN: "string"})
    first = _FirstBytes(_decompressed(source, suffix), str(reader_options.get("encoding") or "utf-8"))
    if file_format == "csv":
        return Peek(_csv_columns(first, reader_options))
    return Peek(_json_columns(first, reader_options))


def _peek_parquet(source: Any) -> Peek:
    with pq.ParquetFile(source, pre_buffer=False) as file:
        columns = {field.name: str(field.type) for field in file.schema_arrow}
        sizes = dict.fromkeys(columns, 0)
        metadata = file.metadata
        for group, column in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
            chunk = metadata.row_group(group).column(column)
            name = chunk.path_in_schema.split(".")[0]
            if name in sizes:
                sizes[name] += chunk.total_uncompressed_size
    return Peek(columns, sizes)


def _arrow_columns(source: Any) -> dict[str, str]:
    start = source.read(8)
    source.seek(0)
    # `save_to_disk` writes the stream format, others the file format, which begins with its magic.
    reader = pa.ipc.open_file(source) if start.startswith(b"ARROW1") else pa.ipc.open_stream(source)
    return {field.name: str(field.type) for field in reader.schema}


def _decompressed(source: Any, suffix: str) -> Any:
    if suffix in _COMPRESSIONS:
        return pa.CompressedInputStream(pa.PythonFile(source, mode="r"), _COMPRESSIONS[suffix])
    return lzma.open(source) if suffix == _XZ else source


class _FirstBytes:
    """The beginning of a stream as text, growing as long as it is too short to hold one row."""

    def __init__(self, stream: Any, encoding: str) -> None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            encoding = "utf-8"
        self._stream = stream
        self._encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        self._data = b""
        self.complete = False

    def texts(self) -> Iterator[str]:
        """Longer and longer beginnings; the last one is all there is, or 16 MiB of it."""
        size = _FIRST_BYTES
        while not self.complete and len(self._data) < _MOST_BYTES:
            more = self._stream.read(size)
            self._data += more
            self.complete = len(more) < size
            size = len(self._data)
            yield self._data.decode(self._encoding, "replace")


def _json_columns(first: _FirstBytes, reader_options: Mapping[str, Any]) -> dict[str, str] | None:
    for text in first.texts():
        rows = _json_rows(text, reader_options.get("field"), complete=first.complete)
        if rows:
            return _types_of_rows(rows)
    if not first.complete:
        return None
    raise ValueError("it has no JSON objects")


def _json_rows(text: str, field_name: Any, *, complete: bool) -> list[dict[str, Any]]:
    if field_name is not None:
        return _rows_of_field(text, str(field_name), complete=complete)
    stripped = text.lstrip()
    if stripped.startswith("["):
        return list(itertools.islice(_rows_of_array(stripped), _ENOUGH_ROWS))
    rows = []
    lines = text.split("\n")
    for line in lines if complete else lines[:-1]:
        value = _parse(line)
        if isinstance(value, dict):
            rows.append(value)
        if len(rows) >= _ENOUGH_ROWS:
            break
    if not rows and complete:
        rows = _rows_of_value(_parse(stripped))
    return rows


def _rows_of_field(text: str, field_name: str, *, complete: bool) -> list[dict[str, Any]]:
    document = _parse(text) if complete else None
    return _rows_of_value(document.get(field_name)) if isinstance(document, dict) else []


def _rows_of_value(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [row for row in value[:_ENOUGH_ROWS] if isinstance(row, dict)]
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        shortest = min(len(column) for column in value.values())
        return [{name: column[at] for name, column in value.items()} for at in range(min(shortest, _ENOUGH_ROWS))]
    return [value] if isinstance(value, dict) else []


def _rows_of_array(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    position = 1
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            row, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return
        if isinstance(row, dict):
            yield row


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _types_of_rows(rows: list[dict[str, Any]]) -> dict[str, str]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _type_of_values([row.get(name) for row in rows]) for name in names}


def _type_of_values(values: list[Any]) -> str:
    try:
        return str(pa.array(values).type)
    except (pa.ArrowException, OverflowError, ValueError):
        return "mixed"


def _csv_columns(first: _FirstBytes, reader_options: Mapping[str, Any]) -> dict[str, str] | None:
    delimiter = str(reader_options.get("delimiter") or reader_options.get("sep") or ",")
    quote = str(reader_options.get("quotechar") or '"')
    names = reader_options.get("names") or reader_options.get("column_names")
    names = names if isinstance(names, list) else None
    for text in first.texts():
        rows = _csv_rows(text, delimiter, quote, complete=first.complete)
        if not rows:
            continue
        if names is None and reader_options.get("header", "infer") in ("infer", 0):
            names, rows = rows[0], rows[1:]
        elif names is None:
            names = [str(number) for number in range(len(rows[0]))]
        return {str(name): _csv_type([row[at] for row in rows if at < len(row)]) for at, name in enumerate(names)}
    if not first.complete:
        return None
    raise ValueError("it is empty")


def _csv_rows(text: str, delimiter: str, quote: str, *, complete: bool) -> list[list[str]]:
    if len(delimiter) != 1 or len(quote) != 1:
        raise ValueError("delimiter and quote must be one character each")
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_BYTES))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    rows = list(itertools.islice((row for row in reader if row), _ENOUGH_ROWS + 2))
    if not complete and len(rows) < _ENOUGH_ROWS + 2:
        rows = rows[:-1]  # the last one may be cut
    return rows


def _csv_type(values: list[str]) -> str:
    filled = [value.strip() for value in values if value.strip()]
    if not filled:
        return "null"
    return "double" if all(_is_number(value) for value in filled) else "string"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return value.lower() in ("true", "false")
    return True
