"""Removing a dataset's files, safely and repeatably.

A folder is first renamed into the trash, so that it is gone at once and a removal that is cut short is finished by
the next one. The record goes last: as long as it is there, marked, the deletion is known to be unfinished.
"""

from __future__ import annotations

import errno
import uuid
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.atomic import leftovers_of
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, RAW_PART, dataset_lock, tokenized_part
from mistudio_pipelines.store.records import DatasetRecord, stand_in_record, update_record, write_record
from mistudio_pipelines.store.space import folder_bytes, path_bytes, remove_path

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
        + path_bytes(store.statistics(dataset_id)),
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


def mark_deleting(store: DataStore, dataset_id: str, preset: str | None = None) -> None:
    """Note in the record that a dataset, or one tokenization of it, is being deleted.

    Nothing is started for it from then on, and a deletion that is cut short is known to be unfinished. A record that
    is lost or damaged is replaced: what is to be deleted needs no more than its id.
    """

    def change(record: DatasetRecord) -> dict[str, Any]:
        if preset is None:
            return {"deleting": True}
        return {"deleting_tokenizations": tuple(sorted({*record.deleting_tokenizations, preset}))}

    try:
        update_record(store, dataset_id, change)
    except MistudioError as error:
        if error.code not in (ErrorCode.UNKNOWN_DATASET, ErrorCode.DATA_CORRUPT):
            raise
        record = stand_in_record(store, dataset_id)
        write_record(store, record.model_copy(update=change(record)))
    except OSError as error:
        # On a full disk the deletion goes on without the note: it is what makes room.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def unmark_deleting(store: DataStore, dataset_id: str, preset: str | None = None) -> None:
    """Take the note back: one tokenization is deleted, or a deletion was refused before it removed anything."""

    def change(record: DatasetRecord) -> dict[str, Any]:
        if preset is None:
            return {"deleting": False}
        return {"deleting_tokenizations": tuple(one for one in record.deleting_tokenizations if one != preset)}

    update_record(store, dataset_id, change)


def remove_files(store: DataStore, dataset_id: str) -> int:
    """Remove everything of a dataset but its record, also what an earlier attempt left in the trash.

    Returns:
        The bytes that were freed.

    Raises:
        MistudioError: `busy` where a run still writes it.
    """
    presets = stored_tokenizations(store, dataset_id)
    parts = [RAW_PART, INDEX_PART, *(tokenized_part(preset) for preset in presets)]
    with ExitStack() as locks:
        for part in parts:
            locks.enter_context(_writers_right(store, dataset_id, part))
        for folder in (
            store.raw(dataset_id),
            store.raw_partial(dataset_id),
            store.index(dataset_id),
            store.index_partial(dataset_id),
            store.tokenized_of(dataset_id),
            store.tokenized_partial_of(dataset_id),
            store.statistics(dataset_id),
        ):
            for path in (folder, *leftovers_of(folder)):
                _trash(store, dataset_id, path)
        return empty_trash(store, dataset_id)


def remove_tokenization_files(store: DataStore, dataset_id: str, preset: str) -> int:
    """Remove one tokenization of a dataset, also what an earlier attempt left in the trash.

    Returns:
        The bytes that were freed.

    Raises:
        MistudioError: `busy` where a run still writes it.
    """
    with _writers_right(store, dataset_id, tokenized_part(preset)):
        for folder in (store.tokenized(dataset_id, preset), store.tokenized_partial(dataset_id, preset)):
            for path in (folder, *leftovers_of(folder)):
                _trash(store, dataset_id, path)
        return empty_trash(store, dataset_id)


def forget(store: DataStore, dataset_id: str) -> None:
    """Remove the record and the lock files: the last step of a deletion."""
    store.record(dataset_id).unlink(missing_ok=True)
    if store.locks_root.is_dir():
        for path in store.locks_root.glob(f"{dataset_id}.*"):
            path.unlink(missing_ok=True)


def empty_trash(store: DataStore, dataset_id: str | None = None) -> int:
    """Remove what deletions of a dataset (None: of all) have put into the trash; returns the bytes freed."""
    freed = 0
    for path in list(store.trash_root.glob(f"{dataset_id or '*'}.*")):
        size = path_bytes(path)
        remove_path(path)
        freed += size - path_bytes(path)
    return freed


def _writers_right(store: DataStore, dataset_id: str, part: str) -> AbstractContextManager[None]:
    return dataset_lock(store, dataset_id, part, "being deleted", wait_seconds=_SECONDS_TO_WAIT_FOR_WRITERS)


def _trash(store: DataStore, dataset_id: str, path: Path) -> None:
    if not path.exists():
        return
    store.trash_root.mkdir(parents=True, exist_ok=True)
    # An id has no dot, so what lies in the trash says whose it was.
    path.rename(store.trash_root / f"{dataset_id}.{uuid.uuid4().hex[:8]}")
