"""Assembling one file of rows from the stream. Runs in a worker: a thread, a process, or another machine.

What belongs here: the task, and writing the Parquet file with its map of sources. What does not: where rows begin
and end (`laying_out.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.store.atomic import fsync_file, write_bytes
from mistudio_pipelines.tokenization.gathering import GatheredRows, RowFrame, gather_rows
from mistudio_pipelines.tokenization.row_files import ATTENTION_MASK, file_schema, hash_file, list_array, open_writer
from mistudio_pipelines.tokenization.rows import ROW
from mistudio_pipelines.tokenization.shuffling import shuffled
from mistudio_pipelines.tokenization.source_maps import write_sources
from mistudio_pipelines.tokenization.statistics import count_ids
from mistudio_pipelines.tokenization.streams import PieceSpan, Stream

# Tokens in a row group: a reader of one row decodes so many, a writer holds so many.
_ROW_GROUP_TOKENS = 1 << 20


@dataclass(frozen=True)
class AssembleTask:
    """One file of rows.

    Attributes:
        fingerprint: Of the plan.
        split: Its split.
        name: File name without folder, `{split}-0000i-of-0000n.parquet`.
        first_row: Its first row, counted in the output of the split.
        end_row: One after its last.
        total_rows: Rows of the split.
        shuffle_seed: Seed, or None.
        rows_file: ROW records of the split, in document order.
        pieces_folder: Where the pieces lie.
        spans: The pieces of the split.
        item_bytes: Bytes of a token in the pieces.
        frame: What each row is built into.
        ragged: True where rows differ in length.
        with_mask: True to write an attention mask.
        column: Name of the column of tokens.
        dtype: Type of a token in the file.
        vocabulary_size: Every id is below it.
        keep_sources: Write the map of sources too.
        folder: The folder that becomes the tokenization.
        stop_file: Work ends as soon as this file exists.
    """

    fingerprint: str
    split: str
    name: str
    first_row: int
    end_row: int
    total_rows: int
    shuffle_seed: int | None
    rows_file: Path
    pieces_folder: Path
    spans: tuple[PieceSpan, ...]
    item_bytes: Literal[2, 4]
    frame: RowFrame
    ragged: bool
    with_mask: bool
    column: str
    dtype: str
    vocabulary_size: int
    keep_sources: bool
    folder: Path
    stop_file: Path

    @property
    def path(self) -> Path:
        """The file of rows."""
        return self.folder / "data" / self.name

    @property
    def sources_path(self) -> Path:
        """The map of sources."""
        return self.folder / "sources" / self.name

    def shards(self) -> list[int]:
        """The pieces that its rows are in, for rows in document order."""
        if self.first_row == self.end_row:
            return []
        first, last = (
            np.fromfile(self.rows_file, ROW, 1, offset=row * ROW.itemsize)[0]
            for row in (self.first_row, self.end_row - 1)
        )
        end = int(last["start"] + last["length"])
        return [span.shard for span in self.spans if span.base < end and span.base + span.length > first["start"]]

    @property
    def counts_path(self) -> Path:
        """How often each id is in the file."""
        return self.folder / ".work" / f"{self.name}.npy"

    @property
    def report_path(self) -> Path:
        """The report, written last."""
        return self.folder / ".work" / f"{self.name}.json"


class FileReport(BaseModel):
    """What assembling one file gave.

    Attributes:
        fingerprint: Of the plan and the rows.
        name: The file.
        split: Its split.
        rows: Its rows.
        tokens: Tokens in it, counted in what was written; padding left out.
        padded: Padding in it.
        size: Its bytes.
        sha256: Of its bytes.
        sources_sha256: Of the map of sources, or None.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    name: str
    split: str
    rows: int
    tokens: int
    padded: int
    size: int
    sha256: str
    sources_sha256: str | None


def assemble_file(task: AssembleTask) -> FileReport:
    """Write one file of rows.

    Raises:
        Stopped: Where the stop file appeared.
    """
    rows, order = _rows_of(task)
    stream = Stream(task.pieces_folder, task.spans, task.item_bytes)
    buffer, local = load_rows(stream, rows, task.frame.width or task_width(rows))
    counts = np.zeros(task.vocabulary_size, np.int64)
    tokens = padded = 0
    temporary = task.path.with_name(f".{task.name}.{uuid4().hex}.tmp")
    schema = file_schema(task.column, task.dtype, None if task.ragged else task.frame.width, task.with_mask)
    try:
        with open_writer(temporary, schema) as writer:
            for chosen in _row_groups(order, task.frame.width or task_width(rows)):
                if task.stop_file.exists():
                    raise Stopped("Tokenization")
                gathered = gather_rows(buffer, local[chosen], task.frame)
                real = gathered.tokens if gathered.mask is None else gathered.tokens[gathered.mask]
                counts += count_ids(real, task.vocabulary_size)
                tokens += len(real)
                padded += len(gathered.tokens) - len(real)
                writer.write_table(_table(gathered, schema, task), row_group_size=len(chosen))
        temporary.replace(task.path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_file(task.path)
    sources_sha256 = write_sources(task, rows, order) if task.keep_sources else None
    np.save(task.counts_path, counts)
    report = FileReport(
        fingerprint=task.fingerprint,
        name=task.name,
        split=task.split,
        rows=len(rows),
        tokens=tokens,
        padded=padded,
        size=task.path.stat().st_size,
        sha256=hash_file(task.path),
        sources_sha256=sources_sha256,
    )
    write_bytes(task.report_path, report.model_dump_json().encode())
    return report


def finished_file(task: AssembleTask) -> FileReport | None:
    """The report of a file that an earlier run finished, after checking its bytes; None where it must be made."""
    try:
        report = FileReport.model_validate_json(task.report_path.read_bytes())
        if report.fingerprint != task.fingerprint or report.sha256 != hash_file(task.path):
            return None
        if task.keep_sources and report.sources_sha256 != hash_file(task.sources_path):
            return None
        if len(np.load(task.counts_path)) != task.vocabulary_size:
            return None
    except (OSError, ValidationError, ValueError):
        return None
    return report


def task_width(rows: np.ndarray) -> int:
    """Tokens of the longest of some rows, at least 1."""
    return max(1, int(rows["length"].max(initial=1)))


def _rows_of(task: AssembleTask) -> tuple[np.ndarray, np.ndarray]:
    """The ROW records of the file in stream order, and the order in which they are written."""
    count = task.end_row - task.first_row
    if task.shuffle_seed is None:
        rows = np.fromfile(task.rows_file, ROW, count, offset=task.first_row * ROW.itemsize)
        return rows, np.arange(count)
    wanted = shuffled(task.shuffle_seed, task.total_rows, task.first_row, task.end_row)
    # Reading in stream order is one pass over the disk, whatever the order of the output.
    in_stream_order = np.argsort(wanted, kind="stable")
    everything = np.memmap(task.rows_file, ROW, "r") if task.total_rows else np.zeros(0, ROW)
    rows = np.array(everything[wanted[in_stream_order]])
    order = np.empty(count, np.int64)
    order[in_stream_order] = np.arange(count)
    return rows, order


def load_rows(stream: Stream, rows: np.ndarray, largest_gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Read what rows take from the stream.

    Args:
        stream: The stream.
        rows: ROW records in stream order.
        largest_gap: Tokens between two rows that are rather read than skipped.

    Returns:
        A buffer, and the records with positions in it.
    """
    local = rows.copy()
    if not len(rows):
        return np.zeros(0, np.uint32), local
    starts, ends = rows["start"], rows["start"] + rows["length"]
    reached = np.maximum.accumulate(ends)
    breaks = np.flatnonzero(starts[1:] > reached[:-1] + largest_gap) + 1
    parts = []
    filled = 0
    for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
        first = int(starts[begin])
        length = int(reached[end - 1]) - first
        parts.append(stream.read(first, length))
        local["start"][begin:end] += filled - first
        filled += length
    return parts[0] if len(parts) == 1 else np.concatenate(parts), local


def _row_groups(order: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The written order in parts of about `_ROW_GROUP_TOKENS`; none without rows (readers stumble over empty ones)."""
    size = max(1, _ROW_GROUP_TOKENS // width)
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def _table(gathered: GatheredRows, schema: pa.Schema, task: AssembleTask) -> pa.Table:
    arrays = [list_array(gathered.tokens, gathered.bounds, schema.field(task.column).type)]
    if task.with_mask:
        mask = np.ones(len(gathered.tokens), np.int8) if gathered.mask is None else gathered.mask.astype(np.int8)
        arrays.append(list_array(mask, gathered.bounds, schema.field(ATTENTION_MASK).type))
    return pa.Table.from_arrays(arrays, schema=schema)
