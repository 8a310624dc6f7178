"""The texts of a dataset as blocks: large enough for array operations, small enough for the processor's cache.

What belongs here: putting what is read together into blocks. What does not: reading (`reading.py`), what is done with
a block (`statistics_scan.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.reading import TextBatch, iter_text_batches
from mistudio_pipelines.text.statistics_scan import TextBlock, make_block

_BLOCK_BYTES: Final = 1 << 20
_BLOCK_TEXTS: Final = 65_536


class SplitBlock(NamedTuple):
    """Consecutive texts of one split.

    Attributes:
        split: The split.
        block: The texts.
        replaced_characters: Invalid sequences in them that reading has replaced by U+FFFD.
    """

    split: str
    block: TextBlock
    replaced_characters: int


def iter_text_blocks(
    raw: Path,
    manifest: Manifest,
    should_stop: ShouldStop = never_stop,
    row_groups: Collection[tuple[int, int]] | None = None,
) -> Iterator[SplitBlock]:
    """The texts of a dataset, split after split, in order.

    Args:
        raw: The raw folder.
        manifest: Its manifest.
        should_stop: Polled while reading.
        row_groups: Only these, as (file, row group); None for all.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where a file cannot be read.
        Stopped: As soon as `should_stop` says so.
    """
    for batches in _together(
        iter_text_batches(raw, manifest, row_groups=row_groups, batch_bytes=_BLOCK_BYTES, should_stop=should_stop)
    ):
        block = make_block(batches[0].first_sample, [batch.texts for batch in batches])
        yield SplitBlock(batches[0].split, block, sum(batch.replaced_characters for batch in batches))


def _together(batches: Iterable[TextBatch]) -> Iterator[list[TextBatch]]:
    """Consecutive batches of one split, together about `_BLOCK_BYTES` long."""
    waiting: list[TextBatch] = []
    size = texts = 0
    for batch in batches:
        full = size >= _BLOCK_BYTES or texts >= _BLOCK_TEXTS
        if waiting and (full or batch.split != waiting[0].split):
            yield waiting
            waiting, size, texts = [], 0, 0
        waiting.append(batch)
        size += batch.texts.nbytes
        texts += len(batch.texts)
    if waiting:
        yield waiting
