"""Datasets and runs as the answers show them; pure conversions, used by the endpoints, the events and the pages.

What belongs here: from the Python API's values to the models. What does not: finding them (`reading.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mistudio_pipelines.api.models.common import JobState
from mistudio_pipelines.api.models.datasets import DatasetDetail, DatasetSummary
from mistudio_pipelines.api.models.statistics import (
    ColumnNumbers,
    DistributionBin,
    FullStatistics,
    StatisticsSummary,
    TextNumbers,
    WordCount,
)
from mistudio_pipelines.api.models.tokenizations import DatasetTokenization
from mistudio_pipelines.progress import format_bytes

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.defs.history import AttemptRun
    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.defs.status_rule import StageAttempt
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.statistics_model import DatasetStatistics, Histogram, TextStatistics
    from mistudio_pipelines.tokenization.results import Tokenization

_SOURCES: Mapping[str, Any] = {"huggingface": "HuggingFace", "local": "Local"}
_NUMBERS = tuple(name for name in TextNumbers.model_fields if not name.startswith("histogram"))


@dataclass(frozen=True)
class Numbers:
    """The few numbers of a dataset's statistics that the list shows."""

    samples: int
    tokens: int
    computed_at: datetime


def summary(overview: DatasetOverview, numbers: Numbers | None, seconds_left: float | None) -> DatasetSummary:
    """A line of the list."""
    return DatasetSummary(**_summary_values(overview, numbers, seconds_left))


def detail(
    store: DataStore, overview: DatasetOverview, statistics: DatasetStatistics | None, seconds_left: float | None
) -> DatasetDetail:
    """A dataset with all that is known of it."""
    record = overview.record
    numbers = None
    if statistics is not None:
        numbers = Numbers(statistics.total.samples, statistics.total.tokens, statistics.computed_at)
    return DatasetDetail(
        **_summary_values(overview, numbers, seconds_left),
        description=record.description,
        license=record.license,
        repository=record.repository,
        config=record.config,
        splits=None if record.splits is None else list(record.splits),
        requested_revision=record.requested_revision,
        revision=record.revision,
        text_column=record.text_column,
        token_name=record.token_name,
        file_path=str(store.raw(record.id)),
        tokenized_path=str(store.tokenized_of(record.id)) if overview.tokenizations else None,
        vocab_size=None if statistics is None else statistics.total.vocabulary,
        avg_sequence_length=None if statistics is None else statistics.total.mean_tokens,
        statistics=None if statistics is None else statistics_summary(statistics),
    )


def _summary_values(overview: DatasetOverview, numbers: Numbers | None, seconds_left: float | None) -> dict[str, Any]:
    record, status = overview.record, overview.status
    return {
        "id": record.id,
        "name": record.name,
        "source": _SOURCES[record.source],
        "size": format_bytes(overview.size_bytes),
        "size_bytes": overview.size_bytes,
        "status": status.status,
        "progress": status.percent,
        "detail": status.detail,
        "seconds_left": seconds_left,
        "stage": status.stage,
        "tokenization": status.preset,
        "job_id": status.run_id,
        "error_code": status.error_code,
        "error_message": status.error,
        "next_step": status.next_step,
        "num_samples": None if numbers is None else numbers.samples,
        "num_tokens": None if numbers is None else numbers.tokens,
        "tokenizations": list(overview.tokenizations),
        "created_at": record.created_at,
        "updated_at": record.created_at if numbers is None else max(record.created_at, numbers.computed_at),
    }


def statistics_summary(statistics: DatasetStatistics) -> StatisticsSummary:
    """The numbers of the PRD's record."""
    return StatisticsSummary(**_statistics_values(statistics))


def full_statistics(statistics: DatasetStatistics, storage: Mapping[str, int]) -> FullStatistics:
    """Everything that was counted.

    Args:
        statistics: As they lie on disk.
        storage: Bytes of each part of the dataset.
    """
    return FullStatistics(
        **_statistics_values(statistics),
        computed_at=statistics.computed_at,
        seconds=statistics.seconds,
        text_column=statistics.text_column,
        total=_text_numbers(statistics.total),
        by_split={split: _text_numbers(texts) for split, texts in statistics.splits.items()},
        most_frequent_words=[WordCount(word=one.word, count=one.count) for one in statistics.total.most_frequent_words],
        columns=[
            ColumnNumbers(**one.model_dump(include=set(ColumnNumbers.model_fields))) for one in statistics.columns
        ],
        storage=dict(storage),
    )


def _statistics_values(statistics: DatasetStatistics) -> dict[str, Any]:
    total = statistics.total
    return {
        "total_samples": total.samples,
        "total_tokens": total.tokens,
        "avg_tokens_per_sample": total.mean_tokens,
        "median_tokens_per_sample": total.median_tokens,
        "min_tokens": total.min_tokens,
        "max_tokens": total.max_tokens,
        "unique_tokens": total.vocabulary,
        "splits": {split: texts.samples for split, texts in statistics.splits.items()},
        "token_distribution": distribution(total.histogram),
    }


def distribution(histogram: Histogram) -> list[DistributionBin]:
    """The bins with their first and last whole number of tokens.

    A bin holds what is at least its left and less than its right edge, the last one its right edge too. A bin in
    which no whole number lies has its edges for a name.
    """
    bins = []
    last = len(histogram.counts) - 1
    for place, count in enumerate(histogram.counts):
        left, right = histogram.edges[place], histogram.edges[place + 1]
        first = math.ceil(left)
        end = math.floor(right) if place == last else math.ceil(right) - 1
        bins.append(DistributionBin(range=f"{first}-{end}" if end >= first else f"{left:g}-{right:g}", count=count))
    return bins


def _text_numbers(texts: TextStatistics) -> TextNumbers:
    values = {name: getattr(texts, name) for name in _NUMBERS}
    return TextNumbers(
        **values, histogram_edges=list(texts.histogram.edges), histogram_counts=list(texts.histogram.counts)
    )


def finished_tokenization(tokenization: Tokenization, path: str) -> DatasetTokenization:
    """A tokenization that is there."""
    return DatasetTokenization(
        preset=tokenization.preset.name,
        state="ready",
        tokenizer=tokenization.tokenizer.name,
        mode=tokenization.preset.mode,
        context_size=tokenization.preset.context_size,
        rows=tokenization.counts.rows,
        rows_by_split=tokenization.rows_by_split,
        tokens=tokenization.counts.row_tokens,
        bytes=tokenization.bytes,
        tokenized_path=path,
        created_at=tokenization.created_at,
    )


def attempted_tokenization(shown: DatasetTokenization, attempt: StageAttempt) -> DatasetTokenization:
    """A tokenization with the attempt at it that is newer."""
    return shown.model_copy(
        update={
            "state": attempt.state,
            "progress": attempt.percent,
            "detail": attempt.progress,
            "job_id": attempt.run_id,
            "error_code": attempt.error_code,
            "error_message": attempt.error,
        }
    )


def job_state(run: dg.DagsterRun) -> JobState:
    """How a run stands."""
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.history import progress_of, reported_tags

    data = {} if run.is_finished else progress_of(run, names.PROGRESS_DATA_TAG) or {}
    tags = reported_tags(run)
    return JobState(
        job_id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        finished=run.is_finished,
        dataset_id=run.tags.get(names.DATASET_TAG),
        progress=number_or_none(data.get("percent")),
        detail=tags.get(names.PROGRESS_TAG),
        seconds_left=number_or_none(data.get("seconds_left")),
        error_code=tags.get(names.ERROR_CODE_TAG),
        error_message=tags.get(names.ERROR_TAG),
    )


def seconds_left_of(attempt: AttemptRun | None) -> float | None:
    """The time left that a run last reported, where it still runs."""
    from mistudio_pipelines.defs import names
    from mistudio_pipelines.defs.history import progress_of

    if attempt is None or attempt.run.is_finished:
        return None
    return number_or_none((progress_of(attempt.run, names.PROGRESS_DATA_TAG) or {}).get("seconds_left"))


def number_or_none(value: object) -> float | None:
    """A finite number, or None for whatever else a tag may hold."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def plain_value(value: Any, longest: int, depth: int = 4) -> Any:
    """A column's value as JSON can say it, cut where it is long.

    Args:
        value: Whatever Arrow gives.
        longest: Most characters of a text, most items of a list.
        depth: How many levels of lists and structures are shown.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + "…"
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain_value(one, longest, depth - 1) for key, one in list(value.items())[:longest]}
    if isinstance(value, list | tuple):
        return [plain_value(one, longest, depth - 1) for one in value[:longest]]
    return str(value)[:longest]
