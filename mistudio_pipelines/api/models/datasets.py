"""Datasets: the line in the list, the whole, what takes room, and what a deletion would remove."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mistudio_pipelines.api.models.common import DatasetId, PresetName, Strict
from mistudio_pipelines.api.models.statistics import StatisticsSummary

Status = Literal["downloading", "ingesting", "tokenizing", "ready", "error", "deleting"]
Source = Literal["HuggingFace", "Local"]

_SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": "ds_tinystories_a1b2c3",
    "name": "roneneldan/TinyStories",
    "source": "HuggingFace",
    "size": "1 GB",
    "size_bytes": 1_002_345_678,
    "status": "downloading",
    "progress": 45.2,
    "detail": "45% 453 MB of 1 GB 14 MB/s 39s left",
    "seconds_left": 39.2,
    "stage": "download",
    "tokenization": None,
    "job_id": "0d4c2c9e-3d0b-4c07-8c77-1d5b4a1f5a52",
    "error_code": None,
    "error_message": None,
    "next_step": None,
    "num_samples": None,
    "num_tokens": None,
    "tokenizations": [],
    "created_at": "2026-01-31T10:00:00Z",
    "updated_at": "2026-01-31T10:00:00Z",
}


class DatasetSummary(BaseModel):
    """A dataset as a line of the list."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUMMARY_EXAMPLE]})

    id: str
    name: str
    source: Source
    size: str = Field(description="As people say it.")
    size_bytes: int = Field(description="Of the raw files; what is expected while they are not there.")
    status: Status
    progress: float | None = Field(description="Percent, while something is being done and it is known.")
    detail: str = Field(description="What is being done, with speed and time left; may be empty.")
    seconds_left: float | None
    stage: Literal["download", "ingestion", "tokenization"] | None
    tokenization: str | None = Field(description="The preset that the status speaks of.")
    job_id: str | None = Field(description="The run that the status speaks of.")
    error_code: str | None
    error_message: str | None
    next_step: str | None
    num_samples: int | None = Field(description="Null until the statistics are there.")
    num_tokens: int | None = Field(description="Whitespace tokens; null until the statistics are there.")
    tokenizations: list[str] = Field(description="Presets whose tokenization is there, whole.")
    created_at: datetime
    updated_at: datetime = Field(description="When it was added, or its statistics were made last.")


class DatasetDetail(DatasetSummary):
    """A dataset with all that is known of it."""

    description: str | None
    license: str | None
    repository: str | None
    config: str | None
    splits: list[str] | None = Field(description="Splits that were asked for; null: all.")
    requested_revision: str | None
    revision: str = Field(description="The pinned commit, or the content hash of local files.")
    text_column: str
    token_name: str | None = Field(description="Name of the secret that is used, never the secret.")
    file_path: str
    tokenized_path: str | None
    vocab_size: int | None
    avg_sequence_length: float | None
    statistics: StatisticsSummary | None


class StoredDataset(BaseModel):
    """What a dataset takes on disk."""

    id: str
    name: str
    raw_bytes: int
    index_bytes: int
    tokenized_bytes: dict[str, int] = Field(description="By preset.", examples=[{"gpt2-1024": 1_200_000}])
    total_bytes: int


class OrphanedPath(BaseModel):
    """A file or folder that belongs to nothing."""

    path: str = Field(description="Inside the data folder.", examples=["datasets/raw/ds_gone_a1b2c3"])
    kind: Literal["trash", "dataset", "partial", "leftover"]
    dataset_id: str | None
    bytes: int


class Storage(BaseModel):
    """What takes room in the data folder."""

    free_bytes: int = Field(description="Bytes that can still be written on the disk.")
    used_bytes: int = Field(description="Of all datasets.")
    uploads_bytes: int = Field(description="Of uploaded files that are not yet part of a dataset.")
    datasets: list[StoredDataset] = Field(description="Largest first.")
    orphans: list[OrphanedPath]


class Update(BaseModel):
    """What became of an update."""

    message: str = Field(examples=["The newest revision is being fetched."])
    dataset_id: str
    revision: str = Field(description="The newest revision.", examples=["f54c09fd23315a6f9c86f9dc80f725de7d8f9c64"])
    job_id: str | None = Field(description="The run that fetches it; null where the dataset is at it already.")


class DeletionPlan(BaseModel):
    """What a deletion would remove, and who stands against it."""

    dataset_id: str
    name: str
    tokenization: str | None = Field(description="The only tokenization that would go; null: the whole dataset.")
    raw_bytes: int
    index_bytes: int
    tokenized_bytes: dict[str, int]
    freed_bytes: int
    used_by: list[str] = Field(description="Trainings and runs that must end first.", examples=[["training sae-8"]])
    active_job_ids: list[str] = Field(description="Runs that are working on it; deleted only with `cancel_runs`.")


class DeletionRequest(Strict):
    """Several datasets, or one tokenization of each, to delete."""

    dataset_ids: list[DatasetId] = Field(min_length=1, max_length=1000)
    confirm: list[DatasetId] = Field(description="The same ids again.", max_length=1000)
    tokenization: PresetName | None = Field(None, description="Delete only this tokenization of them.")
    cancel_runs: bool = Field(False, description="Cancel runs that are working on them; else they are refused.")

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"dataset_ids": ["ds_old_a1b2c3"], "confirm": ["ds_old_a1b2c3"]}]},
    )


class Deletion(BaseModel):
    """What became of a deletion."""

    message: str = Field(examples=["Dataset deleted successfully."])
    dataset_id: str
    freed_bytes: int | None = Field(description="Null while it goes on.", examples=[2_469_606_195])
    job_id: str


class Deletions(BaseModel):
    """What became of a deletion of several."""

    message: str = Field(examples=["2 datasets deleted successfully."])
    dataset_ids: list[str]
    freed_bytes: int | None = Field(description="Null while it goes on.")
    job_id: str
