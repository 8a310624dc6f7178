"""The status of each dataset, derived every time from Dagster's instance and the disk; nothing is stored twice.

What belongs here: finding out what is known of a dataset. What follows from it is `status_rule.py`. Run status comes
before run tags: a killed run leaves old tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.decisions import MOST_CONTINUATIONS
from mistudio_pipelines.defs.history import (
    AttemptRun,
    History,
    ingestion_attempt,
    is_ingested,
    progress_of,
    read_history,
    reported_tags,
)
from mistudio_pipelines.defs.partitions import split_pair_key
from mistudio_pipelines.defs.status_rule import DatasetStatus, Stage, StageAttempt, StatusFacts, derive_status
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.condition import read_condition
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord, list_record_ids, read_record, stand_in_record


@dataclass(frozen=True)
class DatasetOverview:
    """One line of the list of datasets.

    Attributes:
        record: What was asked for.
        status: How it stands.
        size_bytes: Bytes of the raw files, or what is expected while they are not there.
        tokenizations: Presets whose tokenization is there, whole.
    """

    record: DatasetRecord
    status: DatasetStatus
    size_bytes: int
    tokenizations: tuple[str, ...] = field(default=())


def list_datasets(instance: dg.DagsterInstance, store: DataStore) -> list[DatasetOverview]:
    """Every dataset with its status, most recent first; also those whose record is lost or damaged."""
    return overviews_of(store, read_history(instance))


def overviews_of(store: DataStore, history: History) -> list[DatasetOverview]:
    """Every dataset with its status, from a history that was read before."""
    by_dataset = _tokenizations_by_dataset(history)
    ids = {*list_record_ids(store), *history.dataset_ids}
    found = [_overview(store, history, by_dataset, dataset_id) for dataset_id in ids]
    return sorted(found, key=lambda one: (one.record.created_at, one.record.id), reverse=True)


def show_dataset(instance: dg.DagsterInstance, store: DataStore, dataset_id: str) -> DatasetOverview:
    """One dataset with its status.

    Raises:
        MistudioError: `unknown_dataset`.
    """
    history = read_history(instance)
    if dataset_id not in history.dataset_ids:
        _, problem = _record_and_problem(store, dataset_id)
        if problem is not None and problem.code == ErrorCode.UNKNOWN_DATASET:
            raise problem
    return _overview(store, history, _tokenizations_by_dataset(history), dataset_id)


def _tokenizations_by_dataset(history: History) -> dict[str, list[StageAttempt]]:
    found: dict[str, list[StageAttempt]] = {}
    for key, attempt in history.tokenized.attempts.items():
        dataset_id, preset = split_pair_key(key)
        found.setdefault(dataset_id, []).append(stage_attempt("tokenization", attempt, preset))
    return found


def _overview(
    store: DataStore, history: History, by_dataset: Mapping[str, list[StageAttempt]], dataset_id: str
) -> DatasetOverview:
    record, problem = _record_and_problem(store, dataset_id)
    condition = read_condition(store, dataset_id)
    download = history.raw.attempts.get(dataset_id)
    ingestion = ingestion_attempt(history, dataset_id)
    facts = StatusFacts(
        downloaded=dataset_id in history.raw.results,
        files_present=condition.raw == "complete",
        files_damaged=condition.raw == "damaged",
        ingested=is_ingested(history, dataset_id),
        index_present=condition.index == "complete",
        index_damaged=condition.index == "damaged",
        deleting=record.deleting,
        download=stage_attempt("download", download) if download else None,
        ingestion=stage_attempt("ingestion", ingestion) if ingestion else None,
        tokenizations=tuple(by_dataset.get(dataset_id, ())),
        damaged_tokenizations=condition.damaged_tokenizations,
        record_error=problem,
    )
    size = condition.raw_bytes or record.download_bytes
    return DatasetOverview(record, derive_status(facts, dataset_id), size, condition.tokenizations)


def _record_and_problem(store: DataStore, dataset_id: str) -> tuple[DatasetRecord, MistudioError | None]:
    try:
        return read_record(store, dataset_id), None
    except MistudioError as error:
        return stand_in_record(store, dataset_id), error


def stage_attempt(stage: Stage, attempt: AttemptRun, preset: str | None = None) -> StageAttempt:
    """An attempt as the status sees it."""
    summary = attempt.summary()
    tags = reported_tags(attempt.run)
    waiting = attempt.run.status in (
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
    )
    data = progress_of(attempt.run, names.PROGRESS_DATA_TAG) or {}
    percent = data.get("percent")
    state: Literal["waiting", "running", "failed", "interrupted", "lost", "canceled"]
    if summary.state == "active":
        state = "waiting" if waiting else "running"
    elif summary.state == "lost" and summary.continuations < MOST_CONTINUATIONS:
        state = "interrupted"
    else:
        state = "failed" if summary.state == "out_of_room" else summary.state
    return StageAttempt(
        stage,
        state,
        attempt.run.run_id,
        preset,
        progress=tags.get(names.PROGRESS_TAG) or None,
        percent=float(percent) if isinstance(percent, int | float) else None,
        error=tags.get(names.ERROR_TAG) or None,
        error_code=tags.get(names.ERROR_CODE_TAG) or None,
    )
