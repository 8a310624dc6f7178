"""CSV and TSV: the first line names the columns; quoted fields may hold line ends.

Arrow's parser reads everything as text, at 385 MB/s. What it refuses (a row with too few fields, a field longer than a
block) Python's parser reads on, which fills up short rows like pandas and names the line of what is wrong. Types are
found afterwards (`csv_types.py`). A field without anything in it is null; `""` is an empty text, where Arrow read it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from mistudio_pipelines.text.formats.csv_types import ColumnTypes
from mistudio_pipelines.text.formats.lines import MOST_LINE_BYTES, iter_utf8_blocks
from mistudio_pipelines.text.formats.source import Reading

_BLOCK_BYTES = 4 << 20
_ROWS_PER_TABLE = 5000
_CHARACTERS_PER_TABLE = 4 << 20


@dataclass(frozen=True)
class _Dialect:
    """How a file is written.

    Attributes:
        separator: Between fields.
        quote: Around fields, or None where quotes mean nothing.
        escape: Before a quote that is meant, or None.
        names: Names of the columns, or None where the file has them.
        has_header: True where the first line holds names (which `names` replaces).
    """

    separator: str
    quote: str | None
    escape: str | None
    names: tuple[str, ...] | None
    has_header: bool


def iter_csv_tables(open_stream: Callable[[], BinaryIO], reading: Reading) -> Iterator[pa.Table]:
    """Tables of a CSV file; their columns only ever widen.

    Args:
        open_stream: Opens the file at its beginning; called again where Python's parser must take over.
        reading: The file.

    Raises:
        MistudioError: `unreadable_file`, with the line.
    """
    dialect = _read_dialect(reading)
    types = ColumnTypes(reading.text_column)
    replaced_before = reading.replaced_characters
    rows_read = 0
    try:
        for table in _iter_with_arrow(open_stream(), dialect, reading):
            reading.poll()
            rows_read += table.num_rows
            yield types.apply(table)
    except pa.ArrowInvalid:
        reading.replaced_characters = replaced_before
    else:
        return
    for table in _iter_with_python(open_stream(), dialect, reading, rows_read):
        reading.poll()
        yield types.apply(table)


def unique_names(names: list[str]) -> list[str]:
    """Names of columns as pandas makes them unique: `a`, `a.1`; `Unnamed: 0` for none."""
    taken: set[str] = set()
    unique = []
    for position, name in enumerate(names):
        wanted = name or f"Unnamed: {position}"
        candidate, number = wanted, 0
        while candidate in taken:
            number += 1
            candidate = f"{wanted}.{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _read_dialect(reading: Reading) -> _Dialect:
    reading.check_options(
        "encoding",
        "sep",
        "delimiter",
        "quotechar",
        "escapechar",
        "quoting",
        "names",
        "column_names",
        "header",
    )
    options: Mapping[str, Any] = reading.options
    names = options.get("names") or options.get("column_names")
    header = options.get("header", "infer")
    return _Dialect(
        separator=_one_character(options.get("delimiter") or options.get("sep") or ",", "sep", reading),
        quote=None
        if options.get("quoting") == csv.QUOTE_NONE
        else _one_character(options.get("quotechar") or '"', "quotechar", reading),
        escape=_one_character(options["escapechar"], "escapechar", reading) if options.get("escapechar") else None,
        names=tuple(map(str, names)) if names else None,
        has_header=header == 0 or (header == "infer" and not names),
    )


def _one_character(value: Any, option: str, reading: Reading) -> str:
    if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in "\r\n":
        reading.fail(f"the option {option} is {value!r}", "It must be one ASCII character.")
    return value


def _iter_with_arrow(stream: BinaryIO, dialect: _Dialect, reading: Reading) -> Iterator[pa.Table]:
    blocks = iter_utf8_blocks(stream, reading)
    first = next(blocks, b"")
    while first and not first.strip():  # blank lines are no rows, and Arrow takes a block of them for an empty file
        first = next(blocks, b"")
    if not first:
        return
    content = pa.PythonFile(_BlockFile(chain([first], blocks)), mode="r")
    batches = pa_csv.open_csv(
        content,
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=_BLOCK_BYTES,
            skip_rows=1 if dialect.has_header and dialect.names else 0,
            column_names=dialect.names,
            autogenerate_column_names=not dialect.has_header and not dialect.names,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=dialect.separator,
            quote_char=dialect.quote or False,
            escape_char=dialect.escape or False,
            newlines_in_values=True,
        ),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,  # the blocks are valid
            default_column_type=pa.string(),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    with batches:
        names = unique_names(batches.schema.names)
        if not dialect.has_header and not dialect.names:
            names = [str(position) for position in range(len(names))]
        empty = pa.schema([(name, pa.string()) for name in names]).empty_table()
        yield empty  # the columns of a file without rows are known too
        for batch in batches:
            yield pa.Table.from_batches([batch]).rename_columns(names)


def _iter_with_python(stream: BinaryIO, dialect: _Dialect, reading: Reading, skip_rows: int) -> Iterator[pa.Table]:
    csv.field_size_limit(MOST_LINE_BYTES)
    blocks = io.BufferedReader(cast("io.RawIOBase", _BlockFile(iter_utf8_blocks(stream, reading))))
    lines = io.TextIOWrapper(blocks, encoding="utf-8", newline="")
    rows = csv.reader(
        lines,
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
    )
    names = _python_names(rows, dialect)
    collected: list[list[str]] = []
    size = 0
    for row in _iter_rows(rows, names, reading):
        if skip_rows:
            skip_rows -= 1
            continue
        collected.append(row)
        size += sum(map(len, row))
        if len(collected) >= _ROWS_PER_TABLE or size >= _CHARACTERS_PER_TABLE:
            yield _to_table(names, collected)
            collected, size = [], 0
    if collected:
        yield _to_table(names, collected)


def _python_names(rows: Iterator[list[str]], dialect: _Dialect) -> list[str]:
    if dialect.has_header:
        header = next((row for row in rows if row), [])
        return unique_names(list(dialect.names or header))
    return unique_names(list(dialect.names or ()))


def _iter_rows(rows: Any, names: list[str], reading: Reading) -> Iterator[list[str]]:
    """Rows with as many fields as there are names; blank lines are none."""
    first_line = rows.line_num + 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            reading.fail(
                f"the row that begins in line {first_line}: {error}",
                "Often a quote is opened and never closed; double the quotes inside fields.",
            )
        if row is None:
            return
        if row:
            if not names:
                names.extend(str(position) for position in range(len(row)))
            if len(row) > len(names):
                reading.fail(
                    f"line {rows.line_num} has {len(row)} fields where the header has {len(names)}; "
                    f"the first too many is {row[len(names)][:60]!r}",
                    "Put fields that hold the separator in quotes, or name the right separator with `sep`.",
                )
            yield row + [""] * (len(names) - len(row))
        first_line = rows.line_num + 1


def _to_table(names: list[str], rows: list[list[str]]) -> pa.Table:
    columns = [pa.array([field or None for field in column], pa.string()) for column in zip(*rows, strict=True)]
    return pa.Table.from_arrays(columns, names=names)


class _BlockFile(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer, as in io itself
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def readable(self) -> bool:
        return True
