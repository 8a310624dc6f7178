"""The format of a file of rows: schema, encoding, compression, hash.

What belongs here: what all files of rows have in common, wherever they are written. What does not: their content.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ATTENTION_MASK = "attention_mask"


def file_schema(column: str, dtype: str, width: int | None, with_mask: bool) -> pa.Schema:
    """The schema of a file of rows: fixed-size lists where all rows are alike.

    Args:
        column: Name of the column of tokens.
        dtype: Type of a token.
        width: Tokens in a row, or None for rows of different length.
        with_mask: True for a column of attention masks.
    """

    def list_of(item: pa.DataType) -> pa.DataType:
        field = pa.field("element", item, nullable=False)
        return pa.list_(field) if width is None else pa.list_(field, width)

    fields = [pa.field(column, list_of(pa.type_for_alias(dtype)), nullable=False)]
    if with_mask:
        fields.append(pa.field(ATTENTION_MASK, list_of(pa.int8()), nullable=False))
    return pa.schema(fields)


def open_writer(path: Path | pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of rows with the encoding and compression that all files of rows have.

    Args:
        path: Where to; may be a stream.
        schema: See `file_schema`.
    """
    # Splitting ids into their bytes puts the zeros of small ids beside each other: smaller and faster than plain.
    columns = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in schema.names if name != ATTENTION_MASK}
    masks = {f"{name}.list.element": "PLAIN" for name in schema.names if name == ATTENTION_MASK}
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
        column_encoding={**columns, **masks},
    )


def arrow_array(values: np.ndarray) -> pa.Array:
    """Numbers as an Arrow array, without a copy. `pa.array` would import pandas: half a second and 60 MB.

    Args:
        values: Contiguous numbers, none missing.
    """
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def list_array(values: np.ndarray, bounds: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Rows as an Arrow array.

    Args:
        values: Their tokens, one row after the other.
        bounds: int64, one more than rows.
        kind: Type of the column (see `file_schema`).
    """
    wanted = np.dtype(str(kind.value_type))
    # Ids are below 2^31 wherever they are stored as int32, so their bytes are those of uint32.
    same_bytes = values.dtype == np.uint32 and wanted == np.int32
    flat = arrow_array(values.view(wanted) if same_bytes else values.astype(wanted, copy=False))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return pa.ListArray.from_arrays(arrow_array(bounds.astype(np.int32)), flat, type=kind)


def hash_file(path: Path) -> str:
    """Sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
