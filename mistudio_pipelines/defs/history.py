"""What Dagster's instance knows of each partition, read in a few bulk queries: results and newest attempts.

What belongs here: reading. What follows from it is decided in `decisions.py` (what to start) and `status.py` (what
to show). Cost: six queries whatever the number of datasets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from mistudio_pipelines.defs.decisions import Attempt, AttemptState
from mistudio_pipelines.defs.names import ATTEMPT_TAG, ERROR_CODE_TAG, REPORTED_TAGS
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.workers import worker_of
from mistudio_pipelines.errors import ErrorCode

RAW = dg.AssetKey("raw")
STATISTICS = dg.AssetKey("statistics")
TOKENIZED = dg.AssetKey("tokenized")
_RUNS_PER_QUERY = 500


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
    storage = instance.event_log_storage
    keys = (RAW, STATISTICS, TOKENIZED)
    attempts = {
        key: storage.get_latest_asset_partition_materialization_attempts_without_materializations(key) for key in keys
    }
    runs = _read_runs(instance, {run_id for found in attempts.values() for run_id, _ in found.values()})
    histories = {
        key: AssetHistory(
            results=storage.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION),
            attempts={
                partition: AttemptRun(event_id, runs[run_id].dagster_run)
                for partition, (run_id, event_id) in attempts[key].items()
                if partition is not None and run_id in runs
            },
        )
        for key in keys
    }
    return History(
        tuple(instance.get_dynamic_partitions(str(DATASETS.name))),
        histories[RAW],
        histories[STATISTICS],
        histories[TOKENIZED],
    )


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
