"""The record of a dataset: what was asked for and what was found out before the download.

What belongs here: the facts that no other file holds. What does not: the status (derived in `defs/status.py`),
sizes and counts (the manifest and the statistics hold them).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import write_json
from mistudio_pipelines.store.ids import is_dataset_id
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import RECORD_PART, dataset_lock
from mistudio_pipelines.store.remembered import read_remembered

_SECONDS_TO_WAIT = 10.0


class DatasetRecord(BaseModel):
    """What is known of a dataset from the moment it is added.

    Attributes:
        id: Id and partition key.
        name: What people call it.
        source: `huggingface` or `local`.
        repository: Hub id, for `huggingface`.
        paths: Absolute paths of files or folders, for `local`.
        config: Config of the repository, or None for its only one.
        splits: Splits asked for, or None for all.
        requested_revision: Branch, tag or commit asked for, or None for the default branch.
        followed_revision: Branch or tag whose newest commit tells whether there is a newer version.
        revision: The commit that is pinned, or the content hash of local files.
        text_column: The column that holds the text.
        token_name: Name of the secret to use for the Hub (never the secret), or None for the default.
        description: From the repository's card.
        license: From the repository's card.
        download_bytes: Bytes to download.
        pipeline_bytes: Bytes that the whole pipeline is expected to need on disk.
        allow_large: True where a dataset over the size limit was allowed.
        strict: True where invalid UTF-8 is refused instead of replaced and counted.
        tokenizations: Presets that were asked for when the dataset was added.
        created_at: When it was added, UTC.
        deleting: True from the moment a deletion began.
        deleting_tokenizations: Presets whose tokenization is being deleted alone.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    id: str
    name: str
    source: Literal["huggingface", "local"]
    repository: str | None = None
    paths: tuple[str, ...] = ()
    config: str | None = None
    splits: tuple[str, ...] | None = None
    requested_revision: str | None = None
    followed_revision: str | None = None
    revision: str
    text_column: str
    token_name: str | None = None
    description: str | None = None
    license: str | None = None
    download_bytes: int = 0
    pipeline_bytes: int = 0
    allow_large: bool = False
    strict: bool = False
    tokenizations: tuple[str, ...] = ()
    created_at: datetime
    deleting: bool = False
    deleting_tokenizations: tuple[str, ...] = ()

    @property
    def same_source_key(self) -> tuple[object, ...]:
        """Two datasets with equal keys hold the same thing."""
        splits = None if self.splits is None else tuple(sorted(self.splits))
        return (
            self.source,
            self.repository,
            self.paths,
            self.config,
            splits,
            self.revision,
            self.text_column,
        )


def now() -> datetime:
    """The current time, UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def write_record(store: DataStore, record: DatasetRecord) -> None:
    """Write a dataset's record."""
    write_json(store.record(record.id), record.model_dump(mode="json"))


def read_record(store: DataStore, dataset_id: str) -> DatasetRecord:
    """Read a dataset's record.

    Raises:
        MistudioError: `unknown_dataset` where there is none, `data_corrupt` where it cannot be read.
    """
    try:
        return read_remembered(store.record_name(dataset_id), DatasetRecord.model_validate_json)
    except FileNotFoundError as error:
        raise MistudioError(
            ErrorCode.UNKNOWN_DATASET,
            f"There is no dataset {dataset_id}.",
            "`mistudio list` shows the datasets; `mistudio add` adds one.",
        ) from error
    except (ValidationError, ValueError) as error:
        raise MistudioError(
            ErrorCode.DATA_CORRUPT,
            f"The record of dataset {dataset_id} ({store.record(dataset_id).name}) cannot be read.",
            f"Restore it from a backup, or delete the dataset: `mistudio delete {dataset_id}`.",
        ) from error


def update_record(
    store: DataStore, dataset_id: str, change: Callable[[DatasetRecord], Mapping[str, Any]]
) -> DatasetRecord:
    """Change fields of a record; changes of several processes at once do not undo each other.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        change: Says the new values of fields, from the record as it is.

    Raises:
        MistudioError: As `read_record`; `busy` where another process holds on to the record.
    """
    with dataset_lock(store, dataset_id, RECORD_PART, "being changed", wait_seconds=_SECONDS_TO_WAIT):
        record = read_record(store, dataset_id)
        changed = record.model_copy(update=dict(change(record)))
        if changed != record:
            write_record(store, changed)
    return changed


def stand_in_record(store: DataStore, dataset_id: str) -> DatasetRecord:
    """What is known of a dataset without its record, so that it can be shown and deleted."""
    path = store.record(dataset_id)
    moment = datetime.fromtimestamp(path.stat().st_mtime if path.exists() else 0, UTC)
    return DatasetRecord(
        id=dataset_id,
        name=dataset_id,
        source="local" if dataset_id.startswith("ds_local_") else "huggingface",
        revision="",
        text_column="",
        created_at=moment,
    )


def list_record_ids(store: DataStore) -> list[str]:
    """Ids of all datasets that have a record, in no particular order."""
    try:
        names = [entry.name for entry in os.scandir(store.metadata_root)]
    except FileNotFoundError:
        return []
    stems = (name.removesuffix(".json") for name in names if name.startswith("ds_") and name.endswith(".json"))
    return [stem for stem in stems if not stem.endswith("_stats") and is_dataset_id(stem)]


def read_all_records(store: DataStore) -> list[DatasetRecord]:
    """The records of all datasets, newest first; damaged ones and those deleted meanwhile are left out."""
    records = []
    for dataset_id in list_record_ids(store):
        try:
            records.append(read_record(store, dataset_id))
        except MistudioError:
            continue
    return sorted(records, key=lambda record: (record.created_at, record.id), reverse=True)
