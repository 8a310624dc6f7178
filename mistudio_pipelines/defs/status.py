"""The status of each dataset, derived every time from Dagster's instance and the disk; nothing is stored twice.

`derive_status` is the whole rule, a pure function. Run status comes before run tags: a killed run leaves old tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.history import (
    AttemptRun,
    History,
    ingestion_attempt,
    is_ingested,
    progress_of,
    read_history,
)
from mistudio_pipelines.defs.partitions import split_pair_key
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME
from mistudio_pipelines.store.records import DatasetRecord, read_all_records, read_record

Status = Literal["downloading", "ingesting", "tokenizing", "ready", "error", "deleting"]
Stage = Literal["download", "ingestion", "tokenization"]

_BUSY: Mapping[Stage, Status] = {"download": "downloading", "ingestion": "ingesting", "tokenization": "tokenizing"}


@dataclass(frozen=True)
class StageAttempt:
    """An attempt at one stage of a dataset that has not (yet) led to a result.

    Attributes:
        stage: Which.
        state: `waiting` in the queue, `running`, `failed`, `lost` (its process is gone) or `canceled`.
        run_id: The run.
        preset: The tokenization, for that stage.
        progress: The line that the run last reported.
        percent: 0 to 100, where known.
        error: The sentence that the run left, where it failed.
        error_code: Its code.
    """

    stage: Stage
    state: Literal["waiting", "running", "failed", "lost", "canceled"]
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
        files_present: The manifest of the raw files is on disk.
        ingested: Statistics and index are newer than `raw`.
        deleting: A deletion began.
        download: Attempt at `raw`.
        ingestion: Attempt at statistics and index.
        tokenizations: Attempts at tokenizations.
    """

    downloaded: bool
    files_present: bool
    ingested: bool
    deleting: bool = False
    download: StageAttempt | None = None
    ingestion: StageAttempt | None = None
    tokenizations: tuple[StageAttempt, ...] = ()


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
    if facts.download is not None:
        return _of_attempt(facts.download, dataset_id)
    if not facts.downloaded:
        return DatasetStatus("downloading", "waiting to be started")
    if not facts.files_present:
        return DatasetStatus(
            "error",
            error="The raw files are gone from the disk.",
            error_code="data_missing",
            next_step=f"Download them again: `mistudio retry {dataset_id}`.",
            stage="download",
        )
    if facts.ingestion is not None:
        return _of_attempt(facts.ingestion, dataset_id)
    if not facts.ingested:
        return DatasetStatus("ingesting", "waiting to be started")
    return _of_tokenizations(facts.tokenizations, dataset_id)


def _of_tokenizations(attempts: tuple[StageAttempt, ...], dataset_id: str) -> DatasetStatus:
    """Work in progress is shown before errors; a cancelled tokenization leaves a dataset that is ready."""
    order = {"running": 0, "waiting": 1, "failed": 2, "lost": 2}
    shown = sorted((one for one in attempts if one.state in order), key=lambda one: order[one.state])
    return _of_attempt(shown[0], dataset_id) if shown else DatasetStatus("ready")


def _of_attempt(attempt: StageAttempt, dataset_id: str) -> DatasetStatus:
    where = f" with {attempt.preset}" if attempt.preset else ""
    if attempt.state in ("waiting", "running"):
        detail = "queued" if attempt.state == "waiting" else attempt.progress or "starting"
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
        tokenizations: Presets it has been tokenized with.
    """

    record: DatasetRecord
    status: DatasetStatus
    size_bytes: int
    tokenizations: tuple[str, ...] = field(default=())


def list_datasets(instance: dg.DagsterInstance, store: DataStore) -> list[DatasetOverview]:
    """Every dataset with its status, most recent first."""
    history = read_history(instance)
    by_dataset = _tokenizations_by_dataset(history)
    return [_overview(store, history, by_dataset, record) for record in read_all_records(store)]


def show_dataset(instance: dg.DagsterInstance, store: DataStore, dataset_id: str) -> DatasetOverview:
    """One dataset with its status.

    Raises:
        MistudioError: `unknown_dataset`.
    """
    record = read_record(store, dataset_id)
    history = read_history(instance)
    return _overview(store, history, _tokenizations_by_dataset(history), record)


@dataclass(frozen=True)
class _Tokenizations:
    done: list[str] = field(default_factory=list)
    attempts: list[StageAttempt] = field(default_factory=list)


def _tokenizations_by_dataset(history: History) -> dict[str, _Tokenizations]:
    found: dict[str, _Tokenizations] = {}
    for key in history.tokenized.results:
        dataset_id, preset = split_pair_key(key)
        found.setdefault(dataset_id, _Tokenizations()).done.append(preset)
    for key, attempt in history.tokenized.attempts.items():
        dataset_id, preset = split_pair_key(key)
        found.setdefault(dataset_id, _Tokenizations()).attempts.append(stage_attempt("tokenization", attempt, preset))
    return found


def _overview(
    store: DataStore, history: History, by_dataset: Mapping[str, _Tokenizations], record: DatasetRecord
) -> DatasetOverview:
    tokenizations = by_dataset.get(record.id, _Tokenizations())
    download = history.raw.attempts.get(record.id)
    ingestion = ingestion_attempt(history, record.id)
    manifest = store.raw(record.id) / MANIFEST_NAME
    facts = StatusFacts(
        downloaded=record.id in history.raw.results,
        files_present=manifest.exists(),
        ingested=is_ingested(history, record.id),
        deleting=record.deleting,
        download=stage_attempt("download", download) if download else None,
        ingestion=stage_attempt("ingestion", ingestion) if ingestion else None,
        tokenizations=tuple(tokenizations.attempts),
    )
    return DatasetOverview(
        record, derive_status(facts, record.id), _raw_bytes(store, record), tuple(sorted(tokenizations.done))
    )


def _raw_bytes(store: DataStore, record: DatasetRecord) -> int:
    """Bytes of the finished files; they all lie in one folder, so this is one listing."""
    folder = store.raw(record.id)
    if not folder.is_dir():
        return record.download_bytes
    return sum(path.stat().st_size for path in folder.glob("*.parquet"))


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
    return StageAttempt(
        stage,
        ("waiting" if waiting else "running") if summary.state == "active" else summary.state,
        attempt.run.run_id,
        preset,
        progress=tags.get(names.PROGRESS_TAG),
        percent=float(percent) if isinstance(percent, int | float) else None,
        error=tags.get(names.ERROR_TAG),
        error_code=tags.get(names.ERROR_CODE_TAG),
    )
