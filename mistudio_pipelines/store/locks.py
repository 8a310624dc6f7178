"""One writer per dataset: a file lock that dies with the process that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore


@contextmanager
def dataset_lock(store: DataStore, dataset_id: str, purpose: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the right to write a dataset's files.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
        purpose: What it is held for, as others are told, for example `downloading`.
        wait_seconds: How long to wait for another holder.

    Raises:
        MistudioError: `busy` where another process holds it longer than that; names what it is doing.
    """
    path = store.lock(dataset_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        doing = holder.read_text() if holder.exists() else "being written"
        raise MistudioError(
            ErrorCode.BUSY,
            f"Dataset {dataset_id} is {doing} by another run.",
            "Wait for it, or cancel that run, then try again.",
            transient=True,
        ) from error
    try:
        holder.write_text(purpose)
        yield
    finally:
        lock.release()
