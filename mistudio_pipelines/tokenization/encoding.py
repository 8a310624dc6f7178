"""Encoding one shard of input into a piece. Runs in a worker: a thread, a process, or another machine.

What belongs here: the task and what a worker does. What does not: which engine may be used (`engine_choice.py`) and
what happens to the pieces (`tokenize.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.tokenization.document_encoder import DocumentEncoder, EnginesDifferError, EngineSetup
from mistudio_pipelines.tokenization.engines import EngineName
from mistudio_pipelines.tokenization.pieces import PieceReport, PieceWriter, write_report
from mistudio_pipelines.tokenization.rows import mark_documents

_BATCH_ROWS = 2048
_BATCH_BYTES = 4 << 20
# A batch is what a worker finishes after it was told to stop; this takes about a third of a second.
_SLOW_BATCH_BYTES = 1 << 20


@dataclass(frozen=True)
class EncodeTask:
    """One shard of input.

    Attributes:
        shard: Its number.
        split: Its split.
        fingerprint: Of the plan.
        raw_folder: The raw dataset.
        row_groups: (file, row group) pairs, in sample order.
        pieces_folder: Where the piece goes.
        engines: How to build the engines.
        item_bytes: Bytes of a token on disk.
        separator: Id, or None.
        begin: Id that begins each document, or None.
        head: Id that begins each row, or None.
        skip_invalid: Skip and count what cannot be encoded.
        stop_file: Work ends as soon as this file exists.
    """

    shard: int
    split: str
    fingerprint: str
    raw_folder: Path
    row_groups: tuple[tuple[int, int], ...]
    pieces_folder: Path
    engines: EngineSetup
    item_bytes: Literal[2, 4]
    separator: int | None
    begin: int | None
    head: int | None
    skip_invalid: bool
    stop_file: Path


def encode_shard(task: EncodeTask) -> PieceReport:
    """Encode one shard and write its piece.

    A difference between the engines makes the shard start again with Hugging Face's.

    Args:
        task: The shard.

    Raises:
        MistudioError: `tokenization_failed` with the number of a sample that cannot be encoded.
        Stopped: Where the stop file appeared.
    """
    try:
        return _encode(task, task.engines.engine, None)
    except EnginesDifferError as difference:
        return _encode(task, "tokenizers", difference.sample)


def _encode(task: EncodeTask, engine_name: EngineName, difference: int | None) -> PieceReport:
    from mistudio_pipelines.text.reading import iter_text_batches

    began = time.monotonic()
    encoder = DocumentEncoder(task, engine_name)
    writer = PieceWriter(task.pieces_folder, task.shard, task.item_bytes)
    manifest = read_manifest(task.raw_folder)
    try:
        batches = iter_text_batches(
            task.raw_folder,
            manifest,
            row_groups=task.row_groups,
            batch_rows=_BATCH_ROWS,
            batch_bytes=_BATCH_BYTES if engine_name == "fastokens" else _SLOW_BATCH_BYTES,
            should_stop=task.stop_file.exists,
        )
        for batch in batches:
            samples, encoded = encoder.encode(batch)
            marked = mark_documents(
                encoded.ids, encoded.bounds, separator=task.separator, begin=task.begin, head=task.head
            )
            writer.add(samples, marked)
            writer.tell(encoder.tally.documents)
        tables_crc32 = writer.finish()
    finally:
        writer.close()
    tally = encoder.tally
    report = PieceReport(
        shard=task.shard,
        split=task.split,
        fingerprint=task.fingerprint,
        stream_length=writer.stream_length,
        item_bytes=task.item_bytes,
        ids_crc32=writer.ids_crc32,
        tables_crc32=tables_crc32,
        documents=tally.documents,
        nulls=tally.nulls,
        skipped=tally.skipped,
        first_skipped=tuple(tally.first_skipped),
        empty=tally.empty,
        replaced_characters=tally.replaced_characters,
        text_bytes=tally.text_bytes,
        tokens_encoded=tally.tokens_encoded,
        separators=writer.separators,
        begins=writer.begins,
        documents_by_engine=tally.by_engine,
        checked=tally.checked,
        difference=difference,
        seconds=time.monotonic() - began,
    )
    write_report(task.pieces_folder, report)
    return report
