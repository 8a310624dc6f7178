"""Whether a dataset fits: free space, what other datasets have already planned for, and the size limits.

The decision is pure (`check_room`); `promised_bytes` reads what it needs from disk.
"""

from __future__ import annotations

from collections.abc import Mapping

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import MANIFEST_NAME
from mistudio_pipelines.store.records import list_record_ids, read_all_records
from mistudio_pipelines.store.space import folder_bytes

FLOOR_BYTES = 500 * 10**6
"""Free space that is never used up: the machine's own programs and Dagster's database need it."""
WARN_BYTES = 10 * 10**9
BLOCK_BYTES = 100 * 10**9
_LISTED_DATASETS = 5


def check_room(
    download_bytes: int,
    pipeline_bytes: int,
    free: int,
    *,
    promised: int = 0,
    allow_large: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> list[str]:
    """Decide whether a dataset may be added.

    Args:
        download_bytes: What is to be downloaded or read.
        pipeline_bytes: What the whole pipeline is expected to need on disk.
        free: Free bytes of the data folder's file system.
        promised: Bytes that other datasets have planned and not yet written.
        allow_large: True where a dataset over the size limit was allowed.
        sizes: Bytes of each dataset on disk, named in the error so that a person can choose what to delete.

    Returns:
        Warnings, each one sentence.

    Raises:
        MistudioError: `insufficient_storage`, `dataset_too_large`.
    """
    if download_bytes >= BLOCK_BYTES and not allow_large:
        raise MistudioError(
            ErrorCode.DATASET_TOO_LARGE,
            f"The dataset is {format_bytes(download_bytes)}; datasets from {format_bytes(BLOCK_BYTES)} are blocked.",
            "Choose a config or split of it, or allow it with `--allow-large` (`allow_large: true`).",
        )
    available = max(0, free - promised - FLOOR_BYTES)
    if pipeline_bytes > available:
        largest = sorted((sizes or {}).items(), key=lambda item: -item[1])[:_LISTED_DATASETS]
        listed = ", ".join(f"{name} ({format_bytes(size)})" for name, size in largest)
        raise MistudioError(
            ErrorCode.INSUFFICIENT_STORAGE,
            f"Insufficient storage: dataset requires {format_bytes(pipeline_bytes)} "
            f"but only {format_bytes(available)} is available.",
            "Please free up space or delete unused datasets." + (f" Largest datasets: {listed}." if listed else ""),
            details={"required": pipeline_bytes, "available": available, "datasets": dict(sizes or {})},
        )
    if download_bytes >= WARN_BYTES:
        return [f"The dataset is large: {format_bytes(download_bytes)} to download."]
    return []


def promised_bytes(store: DataStore) -> int:
    """Bytes that datasets which are added but not yet downloaded have planned and not yet written."""
    promised = 0
    for record in read_all_records(store):
        if not record.deleting and not (store.raw(record.id) / MANIFEST_NAME).exists():
            promised += max(0, record.pipeline_bytes - folder_bytes(store.raw_partial(record.id)))
    return promised


def dataset_sizes(store: DataStore) -> dict[str, int]:
    """Bytes on disk of each dataset: raw, index, all tokenizations, and what is unfinished."""
    return {
        dataset_id: sum(
            folder_bytes(folder)
            for folder in (
                store.raw(dataset_id),
                store.raw_partial(dataset_id),
                store.index(dataset_id),
                store.tokenized_of(dataset_id),
            )
        )
        for dataset_id in list_record_ids(store)
    }
