"""One shard of the pass over the texts: its statistics and its part of the index. Runs here, or in a worker.

What belongs here: cutting a dataset into shards, and what is done with one. What does not: what becomes of the parts
(`adding_up.py`, `sample_index_parts.py`), and the order of the pass (`ingestion.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from mistudio_pipelines.progress import ShouldStop
from mistudio_pipelines.sharding import ProgressNote
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.text.blocks import iter_text_blocks
from mistudio_pipelines.text.reading import RowGroup
from mistudio_pipelines.text.sample_index_writer import IndexPart, SampleIndexWriter
from mistudio_pipelines.text.statistics import SplitTexts

# Every shard is a segment of the index, and every segment costs each search a little.
_SMALLEST_SHARD_BYTES: Final = 128_000_000
_LARGEST_SHARD_BYTES: Final = 320_000_000
_WANTED_SHARDS: Final = 16

RowGroups = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class IngestionTask:
    """One shard of a dataset.

    Attributes:
        shard: Its number.
        raw_folder: The raw dataset.
        row_groups: (file, row group) pairs, in sample order.
        work_folder: Where its part goes; shared by all workers.
        stop_file: Work ends as soon as this file exists.
    """

    shard: int
    raw_folder: Path
    row_groups: RowGroups
    work_folder: Path
    stop_file: Path


@dataclass(frozen=True)
class ShardTexts:
    """What reading one shard gave.

    Attributes:
        shard: Its number.
        splits: What is known of the texts of each split in it; its counters are on disk.
        part: Its part of the index.
    """

    shard: int
    splits: dict[str, SplitTexts]
    part: IndexPart


def plan_ingestion(row_groups: Sequence[RowGroup]) -> list[RowGroups]:
    """Cut a dataset into shards of consecutive row groups; depends on the data alone, never on the workers.

    Args:
        row_groups: All row groups, in sample order.

    Returns:
        (file, row group) pairs of each shard, at least one shard.
    """
    total = sum(group.bytes for group in row_groups)
    wanted = min(_LARGEST_SHARD_BYTES, max(_SMALLEST_SHARD_BYTES, total // _WANTED_SHARDS))
    shards: list[list[tuple[int, int]]] = [[]]
    size = 0
    for group in row_groups:
        if shards[-1] and size + group.bytes > wanted:
            shards.append([])
            size = 0
        shards[-1].append((group.file_index, group.row_group))
        size += group.bytes
    return [tuple(shard) for shard in shards]


def ingest_shard(task: IngestionTask) -> ShardTexts:
    """Count the texts of a shard and index them.

    Args:
        task: The shard.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where a raw file is not there or damaged.
        Stopped: Where the stop file appeared.
    """
    # A cluster may start a shard again though a worker that it lost sight of still reads it.
    folder = task.work_folder / f"shard-{task.shard:05d}-{uuid4().hex}"
    spilled = folder / "spilled"
    spilled.mkdir(parents=True)
    note = ProgressNote(task.work_folder, task.shard)
    manifest = read_manifest(task.raw_folder)
    finished = False
    try:
        with closing(SampleIndexWriter(folder / "index", manifest.dataset_id, threads=1)) as writer:
            splits = read_texts(
                task.raw_folder, manifest, task.row_groups, spilled, writer, note.tell, task.stop_file.exists
            )
            for texts in splits.values():
                texts.spill()
            part = writer.finish()
        finished = True
    finally:
        note.remove()
        if not finished:
            shutil.rmtree(folder, ignore_errors=True)
    return ShardTexts(task.shard, splits, part)


def read_texts(
    raw: Path,
    manifest: Manifest,
    row_groups: RowGroups | None,
    spilled: Path,
    writer: SampleIndexWriter,
    on_bytes: Callable[[int], None],
    should_stop: ShouldStop,
) -> dict[str, SplitTexts]:
    """Read texts once: count them, and write them to the index.

    Args:
        raw: The raw folder.
        manifest: Its manifest.
        row_groups: Only these; None for all.
        spilled: Where counters may spill to; it must exist.
        writer: The index.
        on_bytes: Told the bytes read so far.
        should_stop: Polled several times a second.

    Returns:
        What was counted of each split that was met, in order.
    """
    splits: dict[str, SplitTexts] = {}
    done = 0
    for name, block, replaced_characters in iter_text_blocks(raw, manifest, should_stop, row_groups):
        if name not in splits:
            for texts in splits.values():
                texts.spill()
            splits[name] = SplitTexts(spilled, f"split{len(splits)}")
        split = splits[name]
        split.invalid_sequences += replaced_characters
        writer.add(block, split.add(block))
        done += len(block.data)
        on_bytes(done)
    return splits
