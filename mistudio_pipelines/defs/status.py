"""The status of each dataset, derived every time from Dagster's instance and the disk; nothing is stored twice.

`derive_status` is the whole rule, a pure function. Run status comes before run tags: a killed run leaves old tags.
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
)
from mistudio_pipelines.defs.partitions import split_pair_key
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.condition import read_condition
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord, list_record_ids, read_record, stand_in_record

Status = Literal["downloading", "ingesting", "tokenizing", "ready", "error", "deleting"]
Stage = Literal["download", "ingestion", "tokenization"]

_BUSY: Mapping[Stage, Status] = {"download": "downloading", "ingestion": "ingesting", "tokenization": "tokenizing"}


@dataclass(frozen=True)
class StageAttempt:
    """An attempt at one stage of a dataset that has not (yet) led to a result.

    Attributes:
        stage: Which.
        state: `waiting` in the queue, `running`, `failed`, `interrupted` (its process is gone; it continues by itself),
            `lost` (that happened again and again) or `canceled`.
        run_id: The run.
        preset: The tokenization, for that stage.
        progress: The line that the run last reported.
        percent: 0 to 100, where known.
        error: The sentence that the run left, where it failed.
        error_code: Its code.
    """

    stage: Stage
    state: Literal["waiting", "running", "failed", "interrupted", "lost", "canceled"]
    run_id: str
    preset: str | None = None
    progress: str | None = None
    percent: float | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class StatusFacts:
    """What the status of a dataset follows from.

    Attributes:
        downloaded: `raw` is materialized.
        files_present: The raw files are on disk, each of the size that the manifest says.
        ingested: Statistics and index are newer than `raw`.
        deleting: A deletion began.
        download: Attempt at `raw`.
        ingestion: Attempt at statistics and index.
        tokenizations: Attempts at tokenizations.
        files_damaged: The raw files are there, but not what the manifest says.
        index_present: Statistics and index are on disk.
        damaged_tokenizations: Presets whose tokenization on disk is not what it says of itself.
        record_error: Why the record cannot be read, where that is so.
    """

    downloaded: bool
    files_present: bool
    ingested: bool
    deleting: bool = False
    download: StageAttempt | None = None
    ingestion: StageAttempt | None = None
    tokenizations: tuple[StageAttempt, ...] = ()
    files_damaged: bool = False
    index_present: bool = True
    damaged_tokenizations: tuple[str, ...] = ()
    record_error: MistudioError | None = None


@dataclass(frozen=True)
class DatasetStatus:
    """The status that a person sees.

    Attributes:
        status: One word.
        detail: A few words more: progress, or what it waits for.
        percent: 0 to 100 while something is being done and it is known.
        error: One sentence, for `error`.
        error_code: Its code.
        next_step: What to do about it.
        run_id: The run that it speaks of.
        preset: The tokenization that it speaks of.
        stage: The stage that it speaks of, where it is not ready.
    """

    status: Status
    detail: str = ""
    percent: float | None = None
    error: str | None = None
    error_code: str | None = None
    next_step: str | None = None
    run_id: str | None = None
    preset: str | None = None
    stage: Stage | None = None


def derive_status(facts: StatusFacts, dataset_id: str) -> DatasetStatus:
    """The status of a dataset.

    The first stage that is not done decides; a later stage is looked at only where the earlier ones are done.
    """
    if facts.deleting:
        next_step = f"Run `mistudio delete {dataset_id}` again to finish it."
        return DatasetStatus("deleting", "a deletion was begun", next_step=next_step)
    if facts.record_error is not None:
        problem = facts.record_error
        return DatasetStatus("error", error=problem.message, error_code=str(problem.code), next_step=problem.next_step)
    if facts.download is not None:
        return _of_attempt(facts.download, dataset_id)
    if not facts.downloaded:
        return DatasetStatus("downloading", "waiting to be started", stage="download")
    if not facts.files_present:
        return _of_missing_files(facts, dataset_id)
    if facts.ingestion is not None:
        return _of_attempt(facts.ingestion, dataset_id)
    if not facts.ingested:
        return DatasetStatus("ingesting", "waiting to be started", stage="ingestion")
    if not facts.index_present:
        return DatasetStatus(
            "error",
            error="The statistics or the index are gone from the disk.",
            error_code=str(ErrorCode.INDEX_MISSING),
            next_step=f"Make them again: `mistudio retry {dataset_id}`.",
            stage="ingestion",
        )
    return _of_tokenizations(facts, dataset_id)


def _of_missing_files(facts: StatusFacts, dataset_id: str) -> DatasetStatus:
    damaged = facts.files_damaged
    return DatasetStatus(
        "error",
        error="The raw files on the disk are damaged." if damaged else "The raw files are gone from the disk.",
        error_code=str(ErrorCode.DATA_CORRUPT if damaged else ErrorCode.DATA_MISSING),
        next_step=f"Download them again: `mistudio retry {dataset_id}`.",
        stage="download",
    )


def _of_tokenizations(facts: StatusFacts, dataset_id: str) -> DatasetStatus:
    """Work in progress is shown before errors; a cancelled tokenization leaves a dataset that is ready."""
    order = {"running": 0, "waiting": 1, "interrupted": 2, "failed": 3, "lost": 3}
    shown = sorted((one for one in facts.tokenizations if one.state in order), key=lambda one: order[one.state])
    if shown:
        return _of_attempt(shown[0], dataset_id)
    if not facts.damaged_tokenizations:
        return DatasetStatus("ready")
    preset = facts.damaged_tokenizations[0]
    return DatasetStatus(
        "error",
        error=f"The files of the tokenization {preset} on the disk are damaged.",
        error_code=str(ErrorCode.DATA_CORRUPT),
        next_step=f"Make them again: `mistudio retry {dataset_id}`.",
        preset=preset,
        stage="tokenization",
    )


def _of_attempt(attempt: StageAttempt, dataset_id: str) -> DatasetStatus:
    where = f" with {attempt.preset}" if attempt.preset else ""
    if attempt.state in ("waiting", "running", "interrupted"):
        details = {"waiting": "queued", "interrupted": "was cut off; continues by itself while Dagster runs"}
        detail = details.get(attempt.state) or attempt.progress or "starting"
        percent = attempt.percent if attempt.state == "running" else None
        return DatasetStatus(
            _BUSY[attempt.stage],
            detail,
            percent=percent,
            run_id=attempt.run_id,
            preset=attempt.preset,
            stage=attempt.stage,
        )
    retry = f"Continue it: `mistudio retry {dataset_id}`, or re-execute the run."
    sentences: Mapping[str, tuple[str, str]] = {
        "canceled": (f"The {attempt.stage}{where} was cancelled.", "cancelled"),
        "lost": (f"The process of the {attempt.stage}{where} ended unexpectedly.", "run_failed"),
        "failed": (attempt.error or f"The {attempt.stage}{where} failed.", attempt.error_code or "run_failed"),
    }
    sentence, code = sentences[attempt.state]
    return DatasetStatus(
        "error",
        error=sentence,
        error_code=code,
        next_step=retry,
        run_id=attempt.run_id,
        preset=attempt.preset,
        stage=attempt.stage,
    )


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
        index_present=condition.has_index,
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
    tags = attempt.run.tags
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
        progress=tags.get(names.PROGRESS_TAG),
        percent=float(percent) if isinstance(percent, int | float) else None,
        error=tags.get(names.ERROR_TAG),
        error_code=tags.get(names.ERROR_CODE_TAG),
    )
