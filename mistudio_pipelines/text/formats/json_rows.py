"""JSON objects to Arrow tables whose columns widen as the data goes on.

What belongs here: types of JSON values and columns made of them. What does not: where one value ends and the next
begins (`json_files.py`, `json_stream.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from typing import Any

import pyarrow as pa

from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines.text.formats.types import MOST_STRUCT_FIELDS, json_text, widen_schema

MOST_COLUMNS = 1000
# Deeper values are kept as JSON text: neither Parquet's readers nor people can do more with them.
_DEEPEST_NESTING = 24
_INT64 = range(-(1 << 63), 1 << 63)


def as_row(value: Any, where: str, reading: Reading) -> dict[str, Any]:
    """A JSON value as a row: an object, or a bare string, which becomes the text column.

    Raises:
        MistudioError: `unreadable_file` for anything else.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {reading.text_column or "text": value}
    kind = {list: "a list", type(None): "null"}.get(type(value), "a number or truth value")
    reading.fail(f"{where} is {kind} where an object is expected")


class RowTables:
    """Makes tables of rows; remembers the columns of all rows so far.

    Args:
        reading: The file; its text column is text whatever its values look like.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.schema = pa.schema([])
        self._rows_without_columns = 0

    def make(self, rows: list[dict[str, Any]], where: str) -> pa.Table:
        """A table with one row per object and the columns of all objects so far.

        Args:
            rows: JSON objects.
            where: Of the first of them, for errors, for example `line 12`.

        Raises:
            MistudioError: `unreadable_file`.
        """
        try:
            return self._make(rows)
        except UnicodeEncodeError:  # an escape such as \ud800 alone is no character
            cleaner = _Cleaner()
            rows = [cleaner.clean(value) for value in rows]
            self._reading.count_replaced(cleaner.replaced, f"an escape sequence, in or after {where}")
            return self._make(rows)
        except RecursionError:
            self._reading.fail(f"a value in or after {where} is nested too deeply")

    def _make(self, rows: list[dict[str, Any]]) -> pa.Table:
        if self._rows_without_columns:
            rows = [{}] * self._rows_without_columns + rows
        # A dictionary keeps the order in which the names were first seen, which a set does not.
        names = list(dict.fromkeys(chain(self.schema.names, chain.from_iterable(rows))))
        if len(names) > MOST_COLUMNS:
            self._reading.fail(
                f"its objects have more than {MOST_COLUMNS:,} different keys",
                "If the samples lie under one key, name it with the option `field`.",
            )
        columns = {name: [row.get(name) for row in rows] for name in names}
        found = pa.schema([(name, infer_type(values)) for name, values in columns.items()])
        text = self._reading.text_column
        if text in names:
            found = found.set(found.get_field_index(text), pa.field(text, pa.string()))
        schema = widen_schema(self.schema, found)
        table = pa.Table.from_arrays([build_array(columns[field.name], field.type) for field in schema], schema=schema)
        self.schema = schema
        # A table cannot have rows without columns: `{}` at the beginning waits for the first key.
        self._rows_without_columns = 0 if names else len(rows)
        return table


def infer_type(values: Collection[Any], depth: int = 0) -> pa.DataType:
    """The smallest type that holds JSON values; text where they have nothing else in common."""
    # An object without keys is kept as null, for Parquet has no such struct; an earlier block may know what it is.
    values = [value for value in values if value is not None and value != {}]
    kinds = {type(value) for value in values}
    if not kinds:
        return pa.null()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        fits = all(value in _INT64 for value in values)
        return pa.int64() if fits else pa.string()
    if kinds <= {int, float}:
        return pa.float64()
    if kinds == {list} and depth < _DEEPEST_NESTING:
        return pa.list_(infer_type(list(chain.from_iterable(values)), depth + 1))
    if kinds == {dict} and depth < _DEEPEST_NESTING:
        return _infer_struct(values, depth)
    return pa.string()


def build_array(values: list[Any], data_type: pa.DataType) -> pa.Array:
    """An array of JSON values as a type that their own widens to."""
    try:
        return pa.array(values, type=data_type)
    except UnicodeEncodeError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return pa.array([_coerce(value, data_type) for value in values], type=data_type)


def _infer_struct(values: Collection[dict[str, Any]], depth: int) -> pa.DataType:
    names = list(dict.fromkeys(chain.from_iterable(values)))
    if len(names) > MOST_STRUCT_FIELDS:
        return pa.string()
    fields = [(name, infer_type([value.get(name) for value in values], depth + 1)) for name in names]
    return pa.struct(fields)


def _coerce(value: Any, data_type: pa.DataType) -> Any:
    if value is None or pa.types.is_null(data_type):
        return None
    if pa.types.is_string(data_type):
        return json_text(value)
    if value == {} and not pa.types.is_struct(data_type):
        return None
    if pa.types.is_floating(data_type):
        return _as_float(value)
    if pa.types.is_list(data_type):
        return [_coerce(item, data_type.value_type) for item in value]
    if pa.types.is_struct(data_type):
        return {field.name: _coerce(value.get(field.name), field.type) for field in data_type}
    return value


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


class _Cleaner:
    """Replaces lone surrogates in texts and keys by U+FFFD, and counts them."""

    def __init__(self) -> None:
        self.replaced = 0

    def clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean_text(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {self._clean_text(key): self.clean(item) for key, item in value.items()}
        return value

    def _clean_text(self, text: str) -> str:
        lone = sum("\ud800" <= character <= "\udfff" for character in text) if not _is_valid(text) else 0
        self.replaced += lone
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text) if lone else text


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
