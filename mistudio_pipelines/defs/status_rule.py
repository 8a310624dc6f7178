"""The rule of the status: one pure function from what is known of a dataset to what a person sees.

What belongs here: the state machine, in plain values. What does not: finding out what is known (`status.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mistudio_pipelines.errors import ErrorCode, MistudioError

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
        index_present: Statistics and index are on disk, each file of the size that the index says.
        index_damaged: The index is there, but not what it says of itself.
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
    index_damaged: bool = False
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
        return _of_missing_index(facts, dataset_id)
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


def _of_missing_index(facts: StatusFacts, dataset_id: str) -> DatasetStatus:
    damaged = facts.index_damaged
    return DatasetStatus(
        "error",
        error="The search index on the disk is damaged."
        if damaged
        else "The statistics or the index are gone from the disk.",
        error_code=str(ErrorCode.DATA_CORRUPT if damaged else ErrorCode.INDEX_MISSING),
        next_step=f"Make them again: `mistudio retry {dataset_id}`.",
        stage="ingestion",
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
