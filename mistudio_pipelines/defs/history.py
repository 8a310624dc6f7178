"""What Dagster's instance knows of each partition, read in a few bulk queries: results and newest attempts.

What belongs here: reading. What follows from it is decided in `decisions.py` (what to start) and `status.py` (what
to show). Cost: five queries whatever the number of datasets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from sqlalchemy import func, select

from mistudio_pipelines.defs.decisions import Attempt, AttemptState
from mistudio_pipelines.defs.names import ATTEMPT_TAG, ERROR_CODE_TAG, REPORTED_TAGS
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.workers import worker_of
from mistudio_pipelines.errors import ErrorCode

RAW = dg.AssetKey("raw")
STATISTICS = dg.AssetKey("statistics")
TOKENIZED = dg.AssetKey("tokenized")
_RUNS_PER_QUERY = 500
_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION.value
_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value


@dataclass(frozen=True)
class AttemptRun:
    """A run that tried to make a partition and has not done so (yet).

    Attributes:
        event_id: Where the attempt stands in the event log; larger is newer.
        run: The run as Dagster has it.
    """

    event_id: int
    run: dg.DagsterRun

    def summary(self) -> Attempt:
        """The attempt as decisions see it."""
        # What a person re-executes begins to count anew, although it has the tags of its parent.
        continuations = "0" if self.run.parent_run_id else self.run.tags.get(ATTEMPT_TAG, "0")
        return Attempt(self.run.run_id, self._state(), int(continuations) if continuations.isdigit() else 0)

    def _state(self) -> AttemptState:
        if not self.run.is_finished:
            # Dagster's books say so until somebody looks; a process that is gone is gone.
            worker = worker_of(self.run)
            return "lost" if worker is not None and worker.is_gone else "active"
        if self.run.status == dg.DagsterRunStatus.CANCELED:
            return "canceled"
        # A step that fails says why in a tag; a process that is killed cannot.
        code = reported_tags(self.run).get(ERROR_CODE_TAG)
        if code == ErrorCode.INSUFFICIENT_STORAGE:
            return "out_of_room"
        return "failed" if code else "lost"


@dataclass(frozen=True)
class AssetHistory:
    """What is known of each partition of one asset.

    Attributes:
        results: Event id of the newest materialization, by partition key.
        attempts: Newest attempt that is newer than any result, by partition key.
    """

    results: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, AttemptRun] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """What is known of every dataset.

    Attributes:
        dataset_ids: Registered partition keys.
        raw: Of the asset `raw`.
        statistics: Of the asset `statistics` (`sample_index` is made in the same step).
        tokenized: Of the asset `tokenized`, by pair key.
    """

    dataset_ids: tuple[str, ...]
    raw: AssetHistory
    statistics: AssetHistory
    tokenized: AssetHistory


def read_history(instance: dg.DagsterInstance) -> History:
    """Read what Dagster knows of all datasets."""
    keys = (RAW, STATISTICS, TOKENIZED)
    latest = _latest_events(instance, keys)
    open_attempts = {
        (key, partition): event_id
        for (key, kind, partition), event_id in latest.items()
        if kind == _PLANNED and event_id > latest.get((key, _MADE, partition), 0)
    }
    run_ids = _run_ids(instance, open_attempts.values())
    runs = _read_runs(instance, set(run_ids.values()))
    results: dict[dg.AssetKey, dict[str, int]] = {key: {} for key in keys}
    attempts: dict[dg.AssetKey, dict[str, AttemptRun]] = {key: {} for key in keys}
    for (key, kind, partition), event_id in latest.items():
        if kind == _MADE:
            results[key][partition] = event_id
    for (key, partition), event_id in open_attempts.items():
        run = runs.get(run_ids.get(event_id, ""))
        if run is not None:
            attempts[key][partition] = AttemptRun(event_id, run.dagster_run)
    histories = {key: AssetHistory(results[key], attempts[key]) for key in keys}
    return History(
        tuple(instance.get_dynamic_partitions(str(DATASETS.name))),
        histories[RAW],
        histories[STATISTICS],
        histories[TOKENIZED],
    )


def _latest_events(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]
) -> dict[tuple[dg.AssetKey, str, str], int]:
    """Id of the newest event of each kind by asset, kind and partition.

    Dagster's own methods say the same of one asset with a dozen queries; for a list of datasets they would take most
    of its time.
    """
    storage, table = sql_storage(instance), SqlEventLogStorageTable.c
    by_name = {key.to_string(): key for key in keys}
    query = (
        select(table.asset_key, table.dagster_event_type, table.partition, func.max(table.id))
        .where(table.asset_key.in_(by_name))
        .where(table.dagster_event_type.in_((_MADE, _PLANNED)))
        .where(table.partition.is_not(None))
        .group_by(table.asset_key, table.dagster_event_type, table.partition)
    )
    # What somebody wiped is still in the table, before the time of the wipe.
    query = storage._add_assets_wipe_filter_to_query(query, storage._get_assets_details(keys), keys)
    with storage.index_connection() as connection:
        return {(by_name[name], kind, key): event_id for name, kind, key, event_id in connection.execute(query)}


def _run_ids(instance: dg.DagsterInstance, event_ids: Iterable[int]) -> dict[int, str]:
    """The runs of events."""
    wanted, found = sorted(event_ids), dict[int, str]()
    table = SqlEventLogStorageTable.c
    with sql_storage(instance).index_connection() as connection:
        for start in range(0, len(wanted), _RUNS_PER_QUERY):
            query = select(table.id, table.run_id).where(table.id.in_(wanted[start : start + _RUNS_PER_QUERY]))
            found.update({event_id: run_id for event_id, run_id in connection.execute(query)})
    return found


def sql_storage(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    """The tables of events, for what Dagster has no method for."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"Only SQLite and PostgreSQL are supported, not {type(storage).__name__}.")
    return storage


def _read_runs(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> dict[str, dg.RunRecord]:
    wanted = sorted(run_ids)
    found: dict[str, dg.RunRecord] = {}
    for start in range(0, len(wanted), _RUNS_PER_QUERY):
        records = instance.get_run_records(dg.RunsFilter(run_ids=wanted[start : start + _RUNS_PER_QUERY]))
        found.update({record.dagster_run.run_id: record for record in records})
    return found


def is_ingested(history: History, dataset_id: str) -> bool:
    """True where the statistics are newer than the raw files."""
    raw = history.raw.results.get(dataset_id)
    statistics = history.statistics.results.get(dataset_id)
    return raw is not None and statistics is not None and statistics > raw


def ingestion_attempt(history: History, dataset_id: str) -> AttemptRun | None:
    """The newest attempt at the statistics of the present raw files; one that runs always counts."""
    attempt = history.statistics.attempts.get(dataset_id)
    raw = history.raw.results.get(dataset_id, 0)
    if attempt is None or (attempt.event_id < raw and attempt.run.is_finished):
        return None
    return attempt


def result_run_ids(instance: dg.DagsterInstance, asset: dg.AssetKey, event_ids: Mapping[str, int]) -> dict[str, str]:
    """The run that made each of these materializations.

    Args:
        instance: Where they are.
        asset: The asset.
        event_ids: Event id of the materialization by partition key.
    """
    if not event_ids:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, storage_ids=sorted(event_ids.values())), limit=len(event_ids)
    ).records
    by_event = {record.storage_id: record.run_id for record in records}
    return {partition: by_event[event] for partition, event in event_ids.items() if event in by_event}


def reported_tags(run: dg.DagsterRun) -> Mapping[str, str]:
    """The tags of a run, without what its parent reported of itself where it is re-executed."""
    if worker_of(run) is not None:
        return run.tags
    return {tag: value for tag, value in run.tags.items() if tag not in REPORTED_TAGS}


def progress_of(run: dg.DagsterRun, tag: str) -> dict[str, object] | None:
    """The progress that a run last reported as plain values, or None."""
    try:
        value = json.loads(reported_tags(run).get(tag, ""))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
