"""What starts by itself. The rules are `decisions.py`; here Dagster is read and runs are requested."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.decisions import Attempt, DatasetFacts, UnfinishedDeletion, WantedRun, next_runs
from mistudio_pipelines.defs.history import (
    RAW,
    AttemptRun,
    History,
    ingestion_attempt,
    is_ingested,
    read_history,
    result_run_ids,
)
from mistudio_pipelines.defs.instance import ensure_download_limit
from mistudio_pipelines.defs.jobs import delete_datasets_job, download_job, ingest_job, tokenize_job
from mistudio_pipelines.defs.partitions import pair_key, split_pair_key
from mistudio_pipelines.defs.recovery import end_lost_runs
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.defs.status import overviews_of
from mistudio_pipelines.defs.transitions import TransitionLog
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.deletion import stored_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import DELETION_PART, is_locked
from mistudio_pipelines.store.records import DatasetRecord, list_record_ids, read_record
from mistudio_pipelines.store.room import FLOOR_BYTES
from mistudio_pipelines.store.space import free_bytes

_transitions = TransitionLog()


@dg.sensor(
    jobs=[download_job, ingest_job, tokenize_job, delete_datasets_job],
    # The daemon looks at its sensors every five seconds; less than that here, so that no look is skipped.
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Starts what comes next for every dataset: its download after it was added, statistics and sample index "
        "after its download, the tokenizations that were asked for when it was added, whatever was lost with a "
        "killed process and deletions that were cut short (at most 3 times; all continue where they stopped). It "
        "also notes every change of status in the audit trail and on the asset `raw`."
    ),
)
def advance_datasets(
    context: dg.SensorEvaluationContext, data_store: DataStoreResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request the runs that datasets are waiting for."""
    instance, store = context.instance, data_store.open()
    ensure_download_limit(instance)
    end_lost_runs(instance, no_worker_is_lost=False)
    history = read_history(instance)
    _transitions.note(instance, store, overviews_of(store, history))
    facts = read_facts(instance, store, history)
    requests = [to_request(wanted) for each in facts for wanted in next_runs(each)]
    if requests:
        yield from requests
    else:
        yield dg.SkipReason("No dataset waits for anything.")


def read_facts(instance: dg.DagsterInstance, store: DataStore, history: History) -> list[DatasetFacts]:
    """The facts of every dataset that is registered or being deleted."""
    records = {dataset_id: _record_or_none(store, dataset_id) for dataset_id in list_record_ids(store)}
    registered = set(history.dataset_ids)
    # The partition key goes before the record: a deletion may have been cut short between the two.
    half_gone = [key for key, record in records.items() if record and record.deleting and key not in registered]
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
        _facts(
            store,
            history,
            dataset_id,
            records.get(dataset_id),
            raw_runs.get(dataset_id),
            tokenizations.get(dataset_id, {}),
            _unfinished_deletions(instance, store, records.get(dataset_id)),
        )
        for dataset_id in [*history.dataset_ids, *half_gone]
    ]


def _facts(
    store: DataStore,
    history: History,
    dataset_id: str,
    record: DatasetRecord | None,
    raw_run_id: str | None,
    tokenizations: Mapping[str, Attempt],
    unfinished_deletions: tuple[UnfinishedDeletion, ...],
) -> DatasetFacts:
    download = history.raw.attempts.get(dataset_id)
    ingestion = ingestion_attempt(history, dataset_id)
    leaving = set(record.deleting_tokenizations) if record else set()
    return DatasetFacts(
        dataset_id,
        downloaded=dataset_id in history.raw.results,
        raw_run_id=raw_run_id,
        ingested=is_ingested(history, dataset_id),
        download=download.summary() if download else None,
        ingestion=ingestion.summary() if ingestion else None,
        tokenizations={preset: attempt for preset, attempt in tokenizations.items() if preset not in leaving},
        wanted_tokenizations=tuple(one for one in record.tokenizations if one not in leaving) if record else (),
        has_room=record is not None and _has_room(store, record, download, ingestion),
        has_record=record is not None,
        deleting=record is not None and record.deleting,
        unfinished_deletions=unfinished_deletions,
    )


def _has_room(store: DataStore, record: DatasetRecord, *attempts: AttemptRun | None) -> bool:
    """Whether the disk has room for the rest of a dataset; asked only where something of it ran out of room."""
    if not any(attempt and attempt.summary().state == "out_of_room" for attempt in attempts):
        return False
    written = stored_bytes(store, record.id).total
    return free_bytes(store.root) >= max(0, record.pipeline_bytes - written) + FLOOR_BYTES


def _record_or_none(store: DataStore, dataset_id: str) -> DatasetRecord | None:
    try:
        return read_record(store, dataset_id)
    except MistudioError:  # damaged, or deleted just now
        return None


def _unfinished_deletions(
    instance: dg.DagsterInstance, store: DataStore, record: DatasetRecord | None
) -> tuple[UnfinishedDeletion, ...]:
    """Deletions that are marked and that neither a process nor a queued run is at work on."""
    if record is None or not (record.deleting or record.deleting_tokenizations):
        return ()
    if is_locked(store, record.id, DELETION_PART):
        return ()
    presets: list[str | None] = [None] if record.deleting else list(record.deleting_tokenizations)
    found = []
    for preset in presets:
        runs = instance.get_runs(dg.RunsFilter(tags={names.DELETES_TAG: _deletes(record.id, preset)}))
        if all(run.is_finished for run in runs):
            found.append(UnfinishedDeletion(preset, len(runs)))
    return tuple(found)


def _deletes(dataset_id: str, preset: str | None) -> str:
    return dataset_id if preset is None else pair_key(dataset_id, preset)


def to_request(wanted: WantedRun) -> dg.RunRequest:
    """The run as Dagster's sensors request it."""
    if wanted.job == names.DELETE_DATASETS_JOB:
        return dg.RunRequest(
            run_key=wanted.run_key,
            job_name=wanted.job,
            run_config=_deletion_config(wanted),
            tags={names.DELETES_TAG: _deletes(wanted.dataset_id, wanted.preset)},
        )
    key = wanted.dataset_id if wanted.preset is None else pair_key(wanted.dataset_id, wanted.preset)
    return dg.RunRequest(
        run_key=wanted.run_key,
        job_name=wanted.job,
        partition_key=key,
        tags={names.DATASET_TAG: wanted.dataset_id, **wanted.tags},
    )


def _deletion_config(wanted: WantedRun) -> dict[str, Any]:
    """It was confirmed when it was begun, and its runs were to be cancelled then."""
    ids = [wanted.dataset_id]
    config = {"dataset_ids": ids, "confirm": ids, "tokenization": wanted.preset or "", "cancel_runs": True}
    return {"ops": {"delete": {"config": config}}}
