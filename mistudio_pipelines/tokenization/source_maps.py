"""Writing where the tokens of a file of rows came from: one line for each stretch of a row from one document.

What belongs here: making the map while rows are written. What does not: reading it (`sources.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.store.atomic import fsync_file
from mistudio_pipelines.tokenization.gathering import SourcePieces, source_pieces
from mistudio_pipelines.tokenization.pieces import read_tables
from mistudio_pipelines.tokenization.row_files import arrow_array, hash_file
from mistudio_pipelines.tokenization.rows import NO_HEAD

if TYPE_CHECKING:
    from mistudio_pipelines.tokenization.assembly import AssembleTask


def write_sources(task: AssembleTask, rows: np.ndarray, order: np.ndarray) -> str:
    """Write which document each stretch of each row came from, sorted by row; returns the file's sha256."""
    written_at = np.empty(len(order), np.int64)
    written_at[order] = np.arange(len(order))
    traced = [_trace(task, rows, number) for number in range(len(task.spans))]
    found = [part for part in traced if part is not None]

    def column(name: str) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in found)])

    row = written_at[column("row")] if found else np.zeros(0, np.int64)
    by_row = np.lexsort((column("position"), row))
    kinds = {"position": np.int32, "length": np.int32, "sample": np.int64, "offset": np.int64}
    columns = {"row": row[by_row].astype(np.int32)}
    columns |= {name: column(name)[by_row].astype(kind) for name, kind in kinds.items()}
    table = pa.Table.from_arrays([arrow_array(values) for values in columns.values()], names=list(columns))
    temporary = task.sources_path.with_name(f".{task.name}.{uuid4().hex}.tmp")
    try:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=False,
            column_encoding=dict.fromkeys(table.column_names, "DELTA_BINARY_PACKED"),
            row_group_size=1 << 16,
            write_statistics=["row"],
        )
        temporary.replace(task.sources_path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_file(task.sources_path)
    return hash_file(task.sources_path)


def _trace(task: AssembleTask, rows: np.ndarray, number: int) -> SourcePieces | None:
    """Sources of all rows in one piece of the split."""
    span = task.spans[number]
    # The rows of a file are in stream order, so those that a piece may touch lie beside each other.
    last = int(np.searchsorted(rows["start"], span.base + span.length))
    first = int(np.searchsorted(rows["start"], span.base - int(rows["length"].max(initial=0))))
    touching = first + np.flatnonzero(rows["start"][first:last] + rows["length"][first:last] > span.base)
    if not span.length or not len(touching):
        return None
    tables = read_tables(task.pieces_folder, span.shard)
    document_ends = np.append(tables.starts[1:], span.length) + span.base
    chosen = rows[touching]
    lead = len(task.frame.prefix) + (chosen["head"] != NO_HEAD)
    if task.frame.pad_side == "left" and task.frame.width is not None:
        lead = task.frame.width - len(task.frame.suffix) - chosen["length"]
    traced = source_pieces(
        chosen, tables.samples, tables.token_starts + span.base, document_ends, lead.astype(np.int64)
    )
    return SourcePieces(touching[traced.row], traced.position, traced.length, traced.sample, traced.offset)
