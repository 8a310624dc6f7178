"""The statistics of a dataset as they lie on disk (`{id}_stats.json`): their schema, reading them, checking them.

What belongs here: plain values and what must be true of them. What does not: computing them (`statistics.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_json
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.fingerprint import Fingerprint

HISTOGRAM_BINS: Final = 20
MOST_FREQUENT_WORDS: Final = 50


class Histogram(BaseModel):
    """How many samples have how many tokens.

    Attributes:
        edges: 21 ascending numbers of tokens, equally far apart, from the smallest to the largest sample. A bin holds
            what is at least its left and less than its right edge; the last one its right edge too.
        counts: Samples in each of the 20 bins.
    """

    model_config = ConfigDict(frozen=True)

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class WordCount(BaseModel):
    """A word and how often it occurs."""

    model_config = ConfigDict(frozen=True)

    word: str
    count: int


class TextStatistics(BaseModel):
    """The texts of a split, or of the whole dataset. A token is what Python's `str.split()` gives.

    Attributes:
        samples: Number of samples, with null and empty ones.
        tokens: Tokens in all.
        min_tokens: Of the shortest sample; null texts count as 0 tokens.
        max_tokens: Of the longest sample.
        mean_tokens: Tokens per sample.
        median_tokens: Of a sample; between two samples the mean of both.
        p5_tokens: 5 % of the samples have fewer tokens (linear between samples, as `numpy.percentile` does).
        p95_tokens: 95 % of the samples have fewer tokens.
        p99_tokens: 99 % of the samples have fewer tokens.
        histogram: Samples by number of tokens.
        vocabulary: Number of different tokens.
        most_frequent_words: The 50 most frequent tokens, most frequent first.
        characters: Unicode characters in all.
        bytes: Of the texts in UTF-8.
        nulls: Samples without a text.
        empties: Samples whose text has no character.
        blanks: Samples whose text is white space only.
        duplicates: Samples whose text, not empty, is exactly that of an earlier sample (of this split, or for the
            whole dataset of any split).
        replacement_characters: U+FFFD characters in the texts, whoever put them there.
        invalid_sequences: Invalid UTF-8 sequences that were replaced by U+FFFD here.
    """

    model_config = ConfigDict(frozen=True)

    samples: int
    tokens: int
    min_tokens: int
    max_tokens: int
    mean_tokens: float
    median_tokens: float
    p5_tokens: float
    p95_tokens: float
    p99_tokens: float
    histogram: Histogram
    vocabulary: int
    most_frequent_words: tuple[WordCount, ...]
    characters: int
    bytes: int
    nulls: int
    empties: int
    blanks: int
    duplicates: int
    replacement_characters: int
    invalid_sequences: int


class ColumnStatistics(BaseModel):
    """A column beside the text.

    Attributes:
        name: Its name.
        type: Its Arrow type.
        nulls: Samples without a value.
        distinct: Number of different values, or None where they are more than were counted (see `distinct_over`).
        distinct_over: There are more different values than this; None where `distinct` is known or not counted.
        minimum: Smallest value as text, where the type has an order.
        maximum: Largest value as text.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    nulls: int
    distinct: int | None = None
    distinct_over: int | None = None
    minimum: str | None = None
    maximum: str | None = None


class DatasetStatistics(BaseModel):
    """Everything that `{id}_stats.json` holds.

    Attributes:
        format_version: Version of this schema.
        dataset_id: Id of the dataset.
        fingerprint: What the statistics were made from.
        computed_at: When, UTC.
        seconds: How long the pass over the text took.
        text_column: The column that holds the text.
        total: All samples.
        splits: The samples of each split, in the manifest's order.
        columns: The other columns.
        raw_bytes: Of the raw files on disk.
        index_bytes: Of the search index on disk.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    dataset_id: str
    fingerprint: Fingerprint
    computed_at: datetime
    seconds: float
    text_column: str
    total: TextStatistics
    splits: dict[str, TextStatistics]
    columns: tuple[ColumnStatistics, ...] = ()
    raw_bytes: int
    index_bytes: int

    @property
    def data_revision(self) -> str:
        """Data version of the raw dataset that the statistics were made from."""
        return self.fingerprint.data_revision

    @property
    def code_version(self) -> str:
        """Version of the code that made the statistics."""
        return self.fingerprint.statistics_code


def write_statistics(store: DataStore, statistics: DatasetStatistics) -> None:
    """Write a dataset's statistics."""
    write_json(store.statistics(statistics.dataset_id), statistics.model_dump(mode="json"))


def read_statistics(store: DataStore, dataset_id: str) -> DatasetStatistics:
    """Read a dataset's statistics.

    Raises:
        MistudioError: `data_missing` where there are none, `data_corrupt` where they cannot be read.
    """
    path = store.statistics(dataset_id)
    next_step = f"Make them: materialize `statistics` for this partition, or run `mistudio retry {dataset_id}`."
    try:
        return DatasetStatistics.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise MistudioError(
            ErrorCode.DATA_MISSING, f"Dataset {dataset_id} has no statistics yet.", next_step
        ) from error
    except (ValidationError, ValueError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT, f"The statistics of dataset {dataset_id} ({path.name}) cannot be read.", next_step
        ) from error


def check_statistics(statistics: DatasetStatistics, manifest: Manifest) -> list[str]:
    """What does not add up, as sentences; empty where everything does.

    Args:
        statistics: The statistics.
        manifest: The manifest of the raw dataset.
    """
    problems = []
    if statistics.data_revision != manifest.revision:
        problems.append(
            f"The statistics were made from revision {statistics.data_revision}, the raw files are {manifest.revision}."
        )
    if statistics.total.samples != manifest.rows:
        problems.append(f"{statistics.total.samples} samples were counted, the manifest has {manifest.rows}.")
    rows_by_split = manifest.rows_by_split
    if set(statistics.splits) != set(rows_by_split):
        problems.append(f"The splits are {sorted(statistics.splits)}, the manifest has {sorted(rows_by_split)}.")
    for split, texts in statistics.splits.items():
        if split in rows_by_split and texts.samples != rows_by_split[split]:
            problems.append(f"Split {split} has {texts.samples} samples, the manifest has {rows_by_split[split]}.")
    for field in ("samples", "tokens", "characters", "bytes", "nulls", "empties", "blanks"):
        total = getattr(statistics.total, field)
        parts = sum(getattr(texts, field) for texts in statistics.splits.values())
        if total != parts:
            problems.append(f"The splits have {parts} {field} together, the dataset has {total}.")
    for name, texts in {"the dataset": statistics.total, **statistics.splits}.items():
        problems.extend(f"In {name}, {problem}" for problem in _check_texts(texts))
    return problems


def _check_texts(texts: TextStatistics) -> list[str]:
    problems = []
    if sum(texts.histogram.counts) != texts.samples:
        problems.append(f"the histogram holds {sum(texts.histogram.counts)} samples of {texts.samples}.")
    if len(texts.histogram.counts) != HISTOGRAM_BINS or len(texts.histogram.edges) != HISTOGRAM_BINS + 1:
        problems.append(f"the histogram has {len(texts.histogram.counts)} bins, not {HISTOGRAM_BINS}.")
    ordered = (
        texts.min_tokens,
        texts.p5_tokens,
        texts.median_tokens,
        texts.p95_tokens,
        texts.p99_tokens,
        texts.max_tokens,
    )
    if list(ordered) != sorted(ordered):
        problems.append(f"minimum, percentiles and maximum are not in order: {ordered}.")
    if texts.vocabulary > texts.tokens:
        problems.append(f"{texts.vocabulary} different words cannot come from {texts.tokens} tokens.")
    if texts.nulls + texts.empties + texts.blanks + texts.duplicates > texts.samples + texts.blanks:
        problems.append(f"more null, empty and duplicate texts are counted than the {texts.samples} samples.")
    named = sum(word.count for word in texts.most_frequent_words)
    if named > texts.tokens:
        problems.append(f"the most frequent words occur {named} times, of {texts.tokens} tokens.")
    return problems
