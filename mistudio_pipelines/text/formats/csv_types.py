"""The types of columns that were read as text: whole numbers, numbers, truth values, or text.

A type is chosen only where every value of it comes back as it was written: `007`, `1,5` and numbers of 20 digits stay
text, and so does the text column, whatever it holds.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mistudio_pipelines.text.formats.types import conform, widen

_TRUE = ("true", "True")
_FALSE = ("false", "False")
_WHOLE = r"^(0|-?[1-9][0-9]{0,18})$"
_NUMBER = r"^-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$|^-?inf$|^nan$"


class ColumnTypes:
    """The types of a file's columns so far; they only ever widen.

    Args:
        text_column: The column that is text whatever it holds, or None.
    """

    def __init__(self, text_column: str | None) -> None:
        self._text_column = text_column
        self._types: dict[str, pa.DataType] = {}

    def apply(self, table: pa.Table) -> pa.Table:
        """A table of text columns with the types of all tables so far.

        Args:
            table: Columns of string; empty fields are null.
        """
        columns = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            array = column.combine_chunks()
            known = self._types.get(name, pa.null())
            found = pa.string() if name == self._text_column else _find_type(array, known)
            self._types[name] = widen(known, found)
            columns.append(_convert(array, self._types[name]))
        return pa.Table.from_arrays(columns, names=table.column_names)


def _find_type(texts: pa.StringArray, known: pa.DataType) -> pa.DataType:
    """The narrowest type, not below the known one, that holds all texts."""
    if texts.null_count == len(texts) or pa.types.is_string(known):
        return known
    if known in (pa.null(), pa.bool_()) and _all(pc.is_in(texts, pa.array([*_TRUE, *_FALSE, None]))):
        return pa.bool_()
    if known in (pa.null(), pa.int64()) and _all(pc.match_substring_regex(texts, _WHOLE)) and _fits_int64(texts):
        return pa.int64()
    if not pa.types.is_boolean(known) and _all(pc.match_substring_regex(texts, _NUMBER)):
        return pa.float64()
    return pa.string()


def _convert(texts: pa.StringArray, data_type: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(data_type):
        return pc.if_else(pc.is_valid(texts), pc.is_in(texts, pa.array(_TRUE)), pa.scalar(None, pa.bool_()))
    if pa.types.is_integer(data_type) or pa.types.is_floating(data_type):
        return pc.cast(texts, data_type)
    return conform(texts, data_type)


def _all(mask: pa.BooleanArray) -> bool:
    return bool(pc.all(mask).as_py())


def _fits_int64(texts: pa.StringArray) -> bool:
    try:
        pc.cast(texts, pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
