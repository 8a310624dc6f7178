"""Column types that change from one part of the data to the next: the type that holds both, and the change to it.

What belongs here: pure functions over Arrow types and arrays. What does not: any file.

The order of types: null below everything; bool; integers below floats; structs and lists field by field; and text above
all (numbers and truth values as JSON writes them, structs and lists as JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mistudio_pipelines.text.utf8 import as_text, is_string_type

# A struct with more fields than this is a mapping whose keys are data; it is kept as JSON text.
MOST_STRUCT_FIELDS = 200


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """The type without what not every reader of Parquet understands: dictionaries, views, maps, extensions."""
    if isinstance(data_type, pa.BaseExtensionType):
        return plain_type(data_type.storage_type)
    if pa.types.is_dictionary(data_type) or pa.types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    if pa.types.is_string_view(data_type):
        return pa.string()
    if pa.types.is_binary_view(data_type):
        return pa.binary()
    if pa.types.is_map(data_type):
        entry = [pa.field("key", plain_type(data_type.key_type)), pa.field("value", plain_type(data_type.item_type))]
        return pa.list_(pa.struct(entry))
    if pa.types.is_struct(data_type):
        fields = [field.with_type(plain_type(field.type)).with_nullable(True) for field in data_type]
        return pa.struct(fields) if fields else pa.null()
    if pa.types.is_fixed_size_list(data_type):
        return pa.list_(plain_type(data_type.value_type), data_type.list_size)
    if is_any_list(data_type):
        value = plain_type(data_type.value_type)
        return pa.large_list(value) if pa.types.is_large_list(data_type) else pa.list_(value)
    return data_type


def is_plain(data_type: pa.DataType) -> bool:
    """Whether a type is plain, with everything inside it; names and nullability of what is inside do not matter."""
    if pa.types.is_struct(data_type):
        return bool(data_type.num_fields) and all(is_plain(field.type) for field in data_type)
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type) or pa.types.is_fixed_size_list(data_type):
        return is_plain(data_type.value_type)
    return bool(plain_type(data_type) == data_type)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with plain types, every column nullable, and its metadata."""
    fields = [pa.field(field.name, plain_type(field.type), metadata=field.metadata) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def is_any_list(data_type: pa.DataType) -> bool:
    """Whether values are lists, in any of Arrow's layouts."""
    return bool(
        pa.types.is_list(data_type)
        or pa.types.is_large_list(data_type)
        or pa.types.is_fixed_size_list(data_type)
        or pa.types.is_list_view(data_type)
        or pa.types.is_large_list_view(data_type)
    )


def widen(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """The smallest type that holds the values of two plain types. Commutative up to the order of struct fields."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        return _widen_structs(first, second)
    if is_any_list(first) and is_any_list(second):
        value = widen(first.value_type, second.value_type)
        large = pa.types.is_large_list(first) or pa.types.is_large_list(second)
        return pa.large_list(value) if large else pa.list_(value)
    if _is_binary(first) and _is_binary(second):
        return pa.large_binary() if pa.large_binary() in (first, second) else pa.binary()
    if _is_number(first) and _is_number(second):
        return _widen_numbers(first, second)
    return pa.large_string() if pa.large_string() in (first, second) else pa.string()


def widen_schema(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """The columns of both, first's order first. Metadata is kept only where the types did not change."""
    types = {field.name: field.type for field in first}
    for field in second:
        types[field.name] = widen(types[field.name], field.type) if field.name in types else field.type
    if types == {field.name: field.type for field in first}:
        return first
    return pa.schema(list(types.items()))


def conform_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly these columns and types; columns it does not have become null.

    Args:
        table: Any table whose types widen to those of the schema.
        schema: Plain types.
    """
    columns = []
    for field in schema:
        index = table.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            column = table.column(index)
            chunks = [conform(chunk, field.type) for chunk in column.chunks]
            columns.append(pa.chunked_array(chunks, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def conform(array: pa.Array, target: pa.DataType) -> pa.Array:
    """The array as another type that its own widens to; nulls stay nulls."""
    source = array.type
    if source == target:
        return array
    if pa.types.is_null(source) or pa.types.is_null(target):
        return pa.nulls(len(array), target)
    if isinstance(source, pa.BaseExtensionType):
        return conform(array.storage, target)
    if pa.types.is_dictionary(source):
        return conform(array.dictionary_decode(), target)
    if pa.types.is_map(source):
        return _conform_map(array, target)
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        return _conform_struct(array, target)
    if is_any_list(source) and is_any_list(target):
        return _conform_list(array, target)
    if is_string_type(target):
        return _to_text(array, target)
    return pc.cast(array, target)


def json_text(value: Any) -> str:
    """A value as text: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _widen_structs(first: pa.StructType, second: pa.StructType) -> pa.DataType:
    types = {field.name: field.type for field in first}
    for field in second:
        types[field.name] = widen(types[field.name], field.type) if field.name in types else field.type
    if len(types) > MOST_STRUCT_FIELDS:
        return pa.string()
    return pa.struct(list(types.items()))


def _is_binary(data_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(data_type) or pa.types.is_large_binary(data_type) or pa.types.is_fixed_size_binary(data_type)
    )


def _is_number(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def _widen_numbers(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if pa.types.is_floating(first) and pa.types.is_floating(second):
        return max(first, second, key=lambda data_type: data_type.bit_width)
    if pa.types.is_floating(first) or pa.types.is_floating(second):
        return pa.float64()
    if pa.types.is_signed_integer(first) == pa.types.is_signed_integer(second):
        return max(first, second, key=lambda data_type: data_type.bit_width)
    # No integer holds both the negative numbers of one and all of uint64: text loses nothing.
    return pa.string() if pa.uint64() in (first, second) else pa.int64()


def _conform_map(array: pa.Array, target: pa.DataType) -> pa.Array:
    entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
    as_list = pa.ListArray.from_arrays(array.offsets, entries)
    if array.null_count:
        present = np.asarray(array.is_valid())
        as_list = as_list.take(pa.array(np.arange(len(array)), mask=~present))
    return conform(as_list, target)


def _conform_struct(array: pa.Array, target: pa.StructType) -> pa.Array:
    children = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    arrays = [
        conform(children[field.name], field.type) if field.name in children else pa.nulls(len(array), field.type)
        for field in target
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(target), mask=array.is_null())


def _conform_list(array: pa.Array, target: pa.DataType) -> pa.Array:
    # `flatten` and the lengths respect slices and leave out what lies behind nulls; `values` and `offsets` do not.
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
    values = conform(array.flatten(), target.value_type)
    if pa.types.is_fixed_size_list(target):
        return pc.cast(array, target)
    large = pa.types.is_large_list(target)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64 if large else np.int32)
    kind = pa.LargeListArray if large else pa.ListArray
    return kind.from_arrays(pa.array(offsets), values, type=target, mask=array.is_null() if len(array) else None)


def _to_text(array: pa.Array, target: pa.DataType) -> pa.Array:
    source = array.type
    if is_string_type(source) or _is_binary(source):
        text, _ = as_text(array)
        return text if text.type == target else pc.cast(text, target)
    if pa.types.is_integer(source) or pa.types.is_boolean(source):
        return pc.cast(array, target)
    return pa.array(_texts(array.to_pylist()), type=target)


def _texts(values: Iterable[Any]) -> list[str | None]:
    return [None if value is None else json_text(value) for value in values]
