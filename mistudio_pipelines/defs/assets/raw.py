"""The asset `raw`: the one copy of a dataset's files, downloaded or converted, verified."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from filelock import FileLock, Timeout

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.descriptions import raw_metadata
from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub
from mistudio_pipelines.store.layout import DataStore

RAW_CODE_VERSION = "1"
_SECONDS_BETWEEN_LOOKS = 0.2


@dg.asset(
    partitions_def=DATASETS,
    pool=names.DOWNLOAD_POOL,
    group_name=names.GROUP,
    owners=[names.OWNER],
    kinds={"huggingface", "parquet"},
    code_version=RAW_CODE_VERSION,
    description=(
        "The files of a dataset as Parquet, one partition per dataset. Downloaded from the Hugging Face Hub at a "
        "pinned commit (resumed where an earlier attempt ended, every byte verified) or converted from local files. "
        "One download runs at a time. Add a dataset with the job `add_dataset`; its download then starts by itself."
    ),
)
def raw(context: dg.AssetExecutionContext, data_store: DataStoreResource, hub: HuggingFaceHub) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it and knows only the bare class
    """Download or convert the dataset of this partition."""
    store = data_store.open()
    dataset_id = context.partition_key
    with operation(context, "download", dataset_id) as step:
        record = require_dataset(context.instance, store, dataset_id)
        from mistudio_pipelines.acquiring import acquire

        with _only_download(store):
            manifest = acquire(
                store,
                record,
                lambda: hub.client(store, record.token_name),
                connections=hub.connections,
                bytes_per_second=hub.bytes_per_second,
                on_progress=step.on_progress,
            )
    return dg.MaterializeResult(
        metadata=raw_metadata(store, record, manifest), data_version=dg.DataVersion(manifest.revision)
    )


@contextmanager
def _only_download(store: DataStore) -> Iterator[None]:
    """Wait until no other process downloads into this data folder.

    The pool does this on an instance that `mistudio up` prepared; the lock holds it also where somebody removed
    the pool's limit or several instances share the folder.
    """
    store.locks_root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store.locks_root / "download.lock")
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        lock.release()
