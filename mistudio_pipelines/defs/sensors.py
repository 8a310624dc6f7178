"""What starts by itself. The rules are `decisions.py`; here Dagster is read and runs are requested."""

from collections.abc import Iterator

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.decisions import Attempt, DatasetFacts, WantedRun, next_runs
from mistudio_pipelines.defs.history import (
    RAW,
    History,
    ingestion_attempt,
    is_ingested,
    read_history,
    result_run_ids,
)
from mistudio_pipelines.defs.instance import ensure_download_limit
from mistudio_pipelines.defs.jobs import download_job, ingest_job, tokenize_job
from mistudio_pipelines.defs.partitions import pair_key, split_pair_key
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import read_record


@dg.sensor(
    jobs=[download_job, ingest_job, tokenize_job],
    # The daemon looks at its sensors every five seconds; less than that here, so that no look is skipped.
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Starts what comes next for every dataset: its download after it was added, statistics and sample index "
        "after its download, the tokenizations that were asked for when it was added, and whatever was lost with a "
        "killed process (at most 3 times; it continues where it stopped)."
    ),
)
def advance_datasets(
    context: dg.SensorEvaluationContext, data_store: DataStoreResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request the runs that datasets are waiting for."""
    ensure_download_limit(context.instance)
    facts = read_facts(context.instance, data_store.open())
    requests = [to_request(wanted) for each in facts for wanted in next_runs(each)]
    if requests:
        yield from requests
    else:
        yield dg.SkipReason("No dataset waits for anything.")


def read_facts(instance: dg.DagsterInstance, store: DataStore) -> list[DatasetFacts]:
    """The facts of every registered dataset."""
    history = read_history(instance)
    waiting = {
        dataset_id: history.raw.results[dataset_id]
        for dataset_id in history.dataset_ids
        if dataset_id in history.raw.results and not is_ingested(history, dataset_id)
    }
    raw_runs = result_run_ids(instance, RAW, waiting)
    tokenizations: dict[str, dict[str, Attempt]] = {}
    for key, attempt in history.tokenized.attempts.items():
        dataset_id, preset = split_pair_key(key)
        tokenizations.setdefault(dataset_id, {})[preset] = attempt.summary()
    return [
        _facts(store, history, dataset_id, raw_runs.get(dataset_id), tokenizations.get(dataset_id, {}))
        for dataset_id in history.dataset_ids
    ]


def _facts(
    store: DataStore, history: History, dataset_id: str, raw_run_id: str | None, tokenizations: dict[str, Attempt]
) -> DatasetFacts:
    download = history.raw.attempts.get(dataset_id)
    ingestion = ingestion_attempt(history, dataset_id)
    ingested = is_ingested(history, dataset_id)
    return DatasetFacts(
        dataset_id,
        downloaded=dataset_id in history.raw.results,
        raw_run_id=raw_run_id,
        ingested=ingested,
        download=download.summary() if download else None,
        ingestion=ingestion.summary() if ingestion else None,
        tokenizations=tokenizations,
        wanted_tokenizations=() if ingested or raw_run_id is None else _wanted_tokenizations(store, dataset_id),
    )


def _wanted_tokenizations(store: DataStore, dataset_id: str) -> tuple[str, ...]:
    try:
        record = read_record(store, dataset_id)
    except MistudioError:  # damaged or being deleted: nothing is wanted of it
        return ()
    return () if record.deleting else record.tokenizations


def to_request(wanted: WantedRun) -> dg.RunRequest:
    """The run as Dagster's sensors request it."""
    key = wanted.dataset_id if wanted.preset is None else pair_key(wanted.dataset_id, wanted.preset)
    return dg.RunRequest(
        run_key=wanted.run_key,
        job_name=wanted.job,
        partition_key=key,
        tags={names.DATASET_TAG: wanted.dataset_id, **wanted.tags},
    )
