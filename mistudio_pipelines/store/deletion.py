"""Removing a dataset's files, safely and repeatably.

A folder is first renamed into the trash, so that it is gone at once and a removal that is cut short is finished by
the next one. The record goes last: as long as it is there, marked, the deletion is known to be unfinished.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, RAW_PART, dataset_lock, tokenized_part
from mistudio_pipelines.store.records import read_record, write_record
from mistudio_pipelines.store.space import folder_bytes

_SECONDS_TO_WAIT_FOR_WRITERS = 15.0


@dataclass(frozen=True)
class StoredBytes:
    """What a dataset takes on disk, in bytes.

    Attributes:
        raw: Raw files, finished and unfinished.
        index: Search index and statistics.
        tokenized: Each tokenization, finished and unfinished, by preset.
    """

    raw: int
    index: int
    tokenized: dict[str, int]

    @property
    def total(self) -> int:
        """All of it."""
        return self.raw + self.index + sum(self.tokenized.values())


def stored_bytes(store: DataStore, dataset_id: str) -> StoredBytes:
    """Measure what a dataset takes on disk."""
    return StoredBytes(
        raw=folder_bytes(store.raw(dataset_id)) + folder_bytes(store.raw_partial(dataset_id)),
        index=folder_bytes(store.index(dataset_id))
        + folder_bytes(store.index_partial(dataset_id))
        + _file_bytes(store.statistics(dataset_id)),
        tokenized={
            preset: folder_bytes(store.tokenized(dataset_id, preset))
            + folder_bytes(store.tokenized_partial(dataset_id, preset))
            for preset in stored_tokenizations(store, dataset_id)
        },
    )


def stored_tokenizations(store: DataStore, dataset_id: str) -> list[str]:
    """Names of the presets with anything on disk for a dataset, finished or not."""
    folders = (store.tokenized_of(dataset_id), store.tokenized_partial_of(dataset_id))
    return sorted({path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()})


def mark_deleting(store: DataStore, dataset_id: str) -> None:
    """Note in the record that the dataset is being deleted; nothing is started for it from then on."""
    record = read_record(store, dataset_id)
    if not record.deleting:
        write_record(store, record.model_copy(update={"deleting": True}))


def remove_files(store: DataStore, dataset_id: str) -> int:
    """Remove everything of a dataset but its record.

    Returns:
        The bytes that were freed.

    Raises:
        MistudioError: `busy` where a run still writes it.
    """
    presets = stored_tokenizations(store, dataset_id)
    parts = [RAW_PART, INDEX_PART, *(tokenized_part(preset) for preset in presets)]
    with ExitStack() as locks:
        for part in parts:
            purpose = "being deleted"
            locks.enter_context(
                dataset_lock(store, dataset_id, part, purpose, wait_seconds=_SECONDS_TO_WAIT_FOR_WRITERS)
            )
        freed = stored_bytes(store, dataset_id).total
        for folder in (
            store.raw(dataset_id),
            store.raw_partial(dataset_id),
            store.index(dataset_id),
            store.index_partial(dataset_id),
            store.tokenized_of(dataset_id),
            store.tokenized_partial_of(dataset_id),
        ):
            _trash(store, folder)
        store.statistics(dataset_id).unlink(missing_ok=True)
    return freed


def remove_tokenization_files(store: DataStore, dataset_id: str, preset: str) -> int:
    """Remove one tokenization of a dataset.

    Returns:
        The bytes that were freed.

    Raises:
        MistudioError: `busy` where a run still writes it.
    """
    part = tokenized_part(preset)
    with dataset_lock(store, dataset_id, part, "being deleted", wait_seconds=_SECONDS_TO_WAIT_FOR_WRITERS):
        freed = stored_bytes(store, dataset_id).tokenized.get(preset, 0)
        _trash(store, store.tokenized(dataset_id, preset))
        _trash(store, store.tokenized_partial(dataset_id, preset))
    return freed


def forget(store: DataStore, dataset_id: str) -> None:
    """Remove the record and the lock files: the last step of a deletion."""
    store.record(dataset_id).unlink(missing_ok=True)
    if store.locks_root.is_dir():
        for path in store.locks_root.glob(f"{dataset_id}.*"):
            path.unlink(missing_ok=True)


def empty_trash(store: DataStore) -> int:
    """Remove what earlier deletions left; returns the bytes freed."""
    freed = folder_bytes(store.trash_root)
    shutil.rmtree(store.trash_root, ignore_errors=True)
    return freed


def _trash(store: DataStore, folder: Path) -> None:
    if not folder.exists():
        return
    store.trash_root.mkdir(parents=True, exist_ok=True)
    trashed = store.trash_root / f"{folder.name}-{uuid.uuid4().hex[:8]}"
    folder.rename(trashed)
    shutil.rmtree(trashed, ignore_errors=True)


def _file_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
