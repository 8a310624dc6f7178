"""What was counted of each split, added up to all that the statistics say of a dataset's data.

What belongs here: totals over splits, the other columns, the spelling of the most frequent words. What does not:
counting (`statistics.py`), when and beside what it runs (`ingestion.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.progress import ShouldStop, never_stop
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.blocks import iter_text_blocks
from mistudio_pipelines.text.statistics import SplitTexts, count_texts, with_words
from mistudio_pipelines.text.statistics_columns import column_statistics
from mistudio_pipelines.text.statistics_model import ColumnStatistics, TextStatistics
from mistudio_pipelines.text.statistics_scan import spell_tokens


@dataclass(frozen=True)
class DatasetTexts:
    """Everything that the statistics say of the data.

    Attributes:
        total: All samples together.
        by_split: Those of each split.
        columns: The other columns.
    """

    total: TextStatistics
    by_split: dict[str, TextStatistics]
    columns: tuple[ColumnStatistics, ...]


def add_up(
    raw: Path,
    manifest: Manifest,
    shards: Sequence[Mapping[str, SplitTexts]],
    should_stop: ShouldStop = never_stop,
) -> DatasetTexts:
    """Add up what was counted.

    Args:
        raw: The raw folder.
        manifest: Its manifest.
        shards: What was counted of each split, in each shard.
        should_stop: Polled while reading.

    Raises:
        MistudioError: `data_corrupt` where a file cannot be read.
        Stopped: As soon as `should_stop` says so.
    """
    columns = column_statistics(raw, manifest, should_stop)
    replaced: Counter[str] = Counter()
    for file in manifest.files:
        replaced[file.split] += file.replaced_characters
    texts = {split: [shard[split] for shard in shards if split in shard] for split in manifest.rows_by_split}
    counted = {split: count_texts(parts, replaced=replaced[split]) for split, parts in texts.items()}
    if len(counted) == 1:
        total = next(iter(counted.values()))
    else:
        total = count_texts([part for parts in texts.values() for part in parts], replaced=replaced.total())
    wanted = {key for texts in (total, *counted.values()) for key, _ in texts.most_frequent}
    spelling = _spell(raw, manifest, wanted, should_stop)
    by_split = {split: with_words(texts, spelling) for split, texts in counted.items()}
    return DatasetTexts(with_words(total, spelling), by_split, columns)


def _spell(raw: Path, manifest: Manifest, wanted: set[int], should_stop: ShouldStop) -> dict[int, str]:
    """The words of some keys: texts are read again until all were seen, which for frequent words is soon."""
    spelling: dict[int, str] = {}
    if not wanted:
        return spelling
    for _, block, _ in iter_text_blocks(raw, manifest, should_stop):
        spelling |= spell_tokens(block, wanted - spelling.keys())
        if len(spelling) == len(wanted):
            break
    return spelling
