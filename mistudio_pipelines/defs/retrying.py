"""Which run continues a dataset that is in error: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.partitions import (
    DATASET_PARTITION_TAG,
    PARTITION_TAG,
    TOKENIZATION_PARTITION_TAG,
    pair_key,
)
from mistudio_pipelines.defs.status import DatasetOverview
from mistudio_pipelines.errors import ErrorCode, MistudioError


@dataclass(frozen=True)
class LaunchRequest:
    """A run to launch.

    Attributes:
        job: Name of the job.
        tags: Tags of the run, among them its partition.
    """

    job: str
    tags: Mapping[str, str]


def dataset_run(job: str, dataset_id: str) -> LaunchRequest:
    """A run of a job over one dataset."""
    return LaunchRequest(job, {PARTITION_TAG: dataset_id, names.DATASET_TAG: dataset_id})


def tokenization_run(dataset_id: str, preset: str) -> LaunchRequest:
    """A run that tokenizes one dataset with one preset."""
    return LaunchRequest(
        names.TOKENIZE_JOB,
        {
            PARTITION_TAG: str(pair_key(dataset_id, preset)),
            DATASET_PARTITION_TAG: dataset_id,
            TOKENIZATION_PARTITION_TAG: preset,
            names.DATASET_TAG: dataset_id,
        },
    )


def retry_request(overview: DatasetOverview) -> LaunchRequest:
    """The run that continues the stage that failed.

    Raises:
        MistudioError: `busy` where the dataset is not in error; its own error where no run can mend it.
    """
    status, dataset_id = overview.status, overview.record.id
    if status.status != "error":
        raise MistudioError(
            ErrorCode.BUSY, f"Dataset {dataset_id} is not in error: it is {status.status}.", "Nothing to retry."
        )
    if status.stage is None:
        raise MistudioError(
            ErrorCode(status.error_code or ErrorCode.INTERNAL), status.error or "", status.next_step or ""
        )
    if status.preset is not None:
        return tokenization_run(dataset_id, status.preset)
    return dataset_run(names.INGEST_JOB if status.stage == "ingestion" else names.DOWNLOAD_JOB, dataset_id)
