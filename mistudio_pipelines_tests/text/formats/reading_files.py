"""Reads a file with the readers under test, as the conversion does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mistudio_pipelines.store.manifest import Origin
from mistudio_pipelines.text.formats.reader import iter_tables
from mistudio_pipelines.text.formats.source import Reading, SourceFile
from mistudio_pipelines.text.formats.types import conform_table, plain_schema, widen_schema


def read_file(path: Path, data_format: str, reading: Reading | None = None, **options) -> pa.Table:
    """All of a file as one table, its columns widened as the conversion widens them."""
    reading = reading or Reading(path.name, options, text_column="text")
    source = SourceFile(path, "train", data_format, Origin(path=path.name, size=path.stat().st_size), options)
    tables = [
        pa.Table.from_batches(table.to_batches(), plain_schema(table.schema)) for table in iter_tables(source, reading)
    ]
    if not tables:
        return pa.table({})
    schema = tables[0].schema
    for table in tables:
        schema = widen_schema(schema, table.schema)
    return pa.concat_tables([conform_table(table, schema) for table in tables])


def read_rows(path: Path, data_format: str, **options) -> list[dict]:
    """All of a file as Python rows."""
    return read_file(path, data_format, **options).to_pylist()


def read_texts(path: Path, data_format: str, **options) -> list:
    """The text column of a file."""
    return read_file(path, data_format, **options)["text"].to_pylist()
