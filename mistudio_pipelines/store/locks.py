"""One writer per part of a dataset: file locks that die with the process that holds them.

The parts are the record, the raw files, the index with the statistics, and each tokenization: they may be written at
the same time by different runs, but each by one run only. A deletion is a part too, so that one goes on at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filelock import FileLock, Timeout

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.ids import check_preset_name
from mistudio_pipelines.store.layout import DataStore

RAW_PART = "raw"
INDEX_PART = "index"
RECORD_PART = "record"
DELETION_PART = "deletion"


def tokenized_part(preset: str) -> str:
    """The part that a tokenization is."""
    return f"tokenized.{check_preset_name(preset)}"


@contextmanager
def dataset_lock(
    store: DataStore, dataset_id: str, part: str, purpose: str, *, wait_seconds: float = 0.0
) -> Iterator[None]:
    """Hold the right to write one part of a dataset.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        part: One of the constants above, or `tokenized_part(preset)`.
        purpose: What it is held for, as others are told, for example `downloading`.
        wait_seconds: How long to wait for another holder.

    Raises:
        MistudioError: `busy` where another process holds it longer than that; names what it is doing.
    """
    path = store.lock(dataset_id, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        doing = (holder.read_text() if holder.exists() else "") or "being written"
        raise MistudioError(
            ErrorCode.BUSY,
            f"Dataset {dataset_id} is {doing} by another run.",
            "Wait for it, or cancel that run, then try again.",
            transient=True,
        ) from error
    try:
        with suppress(OSError):  # a full disk must not keep anybody from deleting
            holder.write_text(purpose)
        yield
    finally:
        lock.release()


def is_locked(store: DataStore, dataset_id: str, part: str) -> bool:
    """True where some process holds that part now."""
    path = store.lock(dataset_id, part)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
