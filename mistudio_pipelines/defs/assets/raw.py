"""The asset `raw`: the one copy of a dataset's files, downloaded or converted, verified."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from filelock import FileLock, Timeout

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.descriptions import raw_metadata
from mistudio_pipelines.defs.operation import operation, require_dataset
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.resources import DataStoreResource, HuggingFaceHub
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord

RAW_CODE_VERSION = "1"
_SECONDS_BETWEEN_LOOKS = 0.2


@dg.asset(
    deps=["hub_revision"],
    partitions_def=DATASETS,
    pool=names.DOWNLOAD_POOL,
    group_name=names.GROUP,
    owners=[names.OWNER],
    kinds={"huggingface", "parquet"},
    code_version=RAW_CODE_VERSION,
    description=(
        "The files of a dataset as Parquet, one partition per dataset. Downloaded from the Hugging Face Hub at a "
        "pinned commit (resumed where an earlier attempt ended, every byte verified) or converted from local files. "
        "One download runs at a time. Add a dataset with the job `add_dataset`; its download then starts by itself. "
        "A run with the tag `mistudio/update: true` fetches the newest revision of the repository."
    ),
)
def raw(context: dg.AssetExecutionContext, data_store: DataStoreResource, hub: HuggingFaceHub) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it and knows only the bare class
    """Download or convert the dataset of this partition."""
    store = data_store.open()
    dataset_id = context.partition_key
    with operation(context, "download", dataset_id) as step:
        record = require_dataset(context.instance, store, dataset_id)
        if context.run.tags.get(names.UPDATE_TAG) == "true":
            record = _take_newest_revision(context, store, record, hub)
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
    _note_revision(context, manifest.revision)
    return dg.MaterializeResult(
        metadata=raw_metadata(store, record, manifest), data_version=dg.DataVersion(manifest.revision)
    )


def _take_newest_revision(
    context: dg.AssetExecutionContext, store: DataStore, record: DatasetRecord, hub: HuggingFaceHub
) -> DatasetRecord:
    """Let the dataset follow its repository; a retry of the same run goes on with the revision that it found."""
    from mistudio_pipelines.defs.registration import register_update
    from mistudio_pipelines.updating import plan_update

    plan = plan_update(store, record, lambda token_name: hub.client(store, token_name))
    if plan is None:
        context.log.info(f"{record.name} has the newest revision ({record.revision[:12]}).")
        return record
    context.log.info(f"{record.name}: {record.revision[:12]} → {plan.record.revision[:12]}.")
    return register_update(store, plan, record.revision)


def _note_revision(context: dg.AssetExecutionContext, revision: str) -> None:
    """Say which revision of the Hub these files are, as Dagster's own provenance.

    Without it the first look at `hub_revision` would show the dataset as out of date although nothing is newer. The
    event belongs to this run, so that it goes when the dataset is deleted.
    """
    key = dg.AssetKey("hub_revision")
    step = context.get_step_execution_context()
    observation = dg.AssetObservation(key, partition=context.partition_key, tags={DATA_VERSION_TAG: revision})
    context.instance.report_dagster_event(
        dg.DagsterEvent.asset_observation(step, observation), run_id=context.run.run_id
    )
    step.wipe_input_asset_version_info(key)  # read when the step began, before we knew


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
