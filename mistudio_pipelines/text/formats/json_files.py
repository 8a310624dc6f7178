"""JSON: an object a line, one array of objects, objects one after the other, or an array under a key.

Blocks of lines go to Arrow's parser with the columns known so far, at 235 MB/s; what it refuses (a new key, another
type, an escape that is no character, a broken line) is read by Python's, which widens the columns or says what is
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.json as pa_json

from mistudio_pipelines.text.formats.json_rows import RowTables, as_row
from mistudio_pipelines.text.formats.json_stream import JsonStream
from mistudio_pipelines.text.formats.lines import MOST_LINE_BYTES, iter_line_blocks, iter_utf8_blocks
from mistudio_pipelines.text.formats.source import Reading

_ROWS_PER_TABLE = 5000
_CHARACTERS_PER_TABLE = 4 << 20


def iter_json_tables(stream: BinaryIO, reading: Reading) -> Iterator[pa.Table]:
    """Tables of a JSON file; their columns only ever widen.

    Raises:
        MistudioError: `unreadable_file`, with line and column.
    """
    reading.check_options("encoding", "field")
    blocks = iter_utf8_blocks(stream, reading)
    head, blocks = _first_content(blocks, reading)
    start = head.lstrip()
    if field := reading.options.get("field"):
        yield from _iter_stream_tables(JsonStream(blocks, reading).iter_field(str(field)), reading)
    elif start.startswith(b"["):
        values = JsonStream(blocks, reading)
        yield from _iter_stream_tables(_all_elements(values), reading)
    elif start and _is_one_object_a_line(start):
        yield from _iter_line_tables(blocks, reading)
    else:
        yield from _iter_stream_tables(_values_or_columns(JsonStream(blocks, reading)), reading)


def _first_content(blocks: Iterator[bytes], reading: Reading) -> tuple[bytes, Iterator[bytes]]:
    """The first block that is more than whitespace, and all blocks including it."""
    seen: list[bytes] = []
    for block in blocks:
        seen.append(block)
        if sum(map(len, seen)) > MOST_LINE_BYTES:
            reading.fail(f"it begins with more than {MOST_LINE_BYTES >> 20} MB of whitespace")
        if not block.isspace():
            break
    return (seen[-1] if seen else b""), chain(seen, blocks)


def _all_elements(values: JsonStream) -> Iterator[Any]:
    yield from values.iter_elements()
    values.expect_end()


def _values_or_columns(stream: JsonStream) -> Iterator[Any]:
    """Values one after the other; a single object of lists is taken as columns, as pandas (and so `datasets`) does."""
    values = stream.iter_values()
    first = next(values, None)
    if first is None:
        return
    second = next(values, None)
    if second is None and isinstance(first, dict) and first and all(isinstance(v, list) for v in first.values()):
        for row in zip_longest(*first.values()):
            yield dict(zip(first, row, strict=True))
        return
    yield first
    if second is not None:
        yield second
        yield from values


def _is_one_object_a_line(start: bytes) -> bool:
    """Whether the first line is a whole value, or broken in the middle; where it only ends early, values span lines."""
    first, newline, _ = start.partition(b"\n")
    if not newline:
        return True
    line = first.decode().strip()
    try:
        json.loads(line, strict=False)
    except json.JSONDecodeError as error:
        return error.pos < len(line)
    except RecursionError:
        return True
    return True


def _iter_stream_tables(values: Iterator[Any], reading: Reading) -> Iterator[pa.Table]:
    tables = RowTables(reading)
    rows: list[dict[str, Any]] = []
    size = 0
    for number, value in enumerate(values, 1):
        rows.append(as_row(value, f"sample {number}", reading))
        size += _about_size(value)
        if len(rows) >= _ROWS_PER_TABLE or size >= _CHARACTERS_PER_TABLE:
            reading.poll()
            yield tables.make(rows, f"sample {number - len(rows) + 1}")
            rows, size = [], 0
    if rows:
        yield tables.make(rows, f"sample {number - len(rows) + 1}")


def _about_size(value: Any) -> int:
    """Characters of a value, about: a table must not become large because its samples are."""
    if isinstance(value, str | list):
        return len(value)
    if isinstance(value, dict):
        return sum(len(item) for item in value.values() if isinstance(item, str | list | dict))
    return 1


def _iter_line_tables(blocks: Iterator[bytes], reading: Reading) -> Iterator[pa.Table]:
    tables = RowTables(reading)
    for first_line, block in iter_line_blocks(blocks, reading):
        reading.poll()
        if block.isspace():
            continue
        table = _parse_known(block, tables.schema)
        if table is None:
            table = tables.make(list(_iter_line_rows(block, first_line, reading)), f"line {first_line}")
        yield table


def _parse_known(block: bytes, schema: pa.Schema) -> pa.Table | None:
    """The block as a table of the columns known so far; None where it holds anything else."""
    if not len(schema):
        return None
    try:
        return pa_json.read_json(
            pa.py_buffer(block),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid:
        return None


def _iter_line_rows(block: bytes, first_line: int, reading: Reading) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(block.split(b"\n"), first_line):
        if not line or line.isspace():
            continue
        text = line.decode()
        try:
            yield as_row(json.loads(text, strict=False), f"line {number}", reading)
        except json.JSONDecodeError as error:
            reading.fail(f"line {number}, column {error.colno}: {error.msg}")
        except RecursionError:
            reading.fail(f"line {number}: a value is nested too deeply")
