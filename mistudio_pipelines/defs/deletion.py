"""Deleting a dataset everywhere: its runs, its files, its events, its partition key, in an order that can be repeated.

What belongs here: the order and Dagster's side of it. The files are `store/deletion.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.partitions import (
    DATASET_PARTITION_TAG,
    DATASETS,
    PARTITION_TAG,
    pair_key,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.audit import write_audit
from mistudio_pipelines.store.deletion import (
    StoredBytes,
    empty_trash,
    forget,
    mark_deleting,
    remove_files,
    remove_tokenization_files,
    stored_bytes,
)
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import read_record

_SECONDS_TO_WAIT_FOR_CANCEL = 30.0
_ASSETS = ("raw", "statistics", "sample_index", "tokenized")
_TAGS_OF_A_DATASET = (names.DATASET_TAG, PARTITION_TAG, DATASET_PARTITION_TAG)


@dataclass(frozen=True)
class DeletionPlan:
    """What deleting a dataset (or one tokenization of it) would remove.

    Attributes:
        dataset_id: Its id.
        name: What people call it.
        preset: The one tokenization to delete, or None for the whole dataset.
        stored: What it takes on disk.
        users: Active runs that use it from outside, each as a sentence; they must end first.
        active_runs: Ids of its own queued or running runs.
    """

    dataset_id: str
    name: str
    preset: str | None
    stored: StoredBytes
    users: tuple[str, ...]
    active_runs: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Bytes that would be freed."""
        return self.stored.total if self.preset is None else self.stored.tokenized.get(self.preset, 0)


def plan_deletion(
    instance: dg.DagsterInstance, store: DataStore, dataset_id: str, preset: str | None = None
) -> DeletionPlan:
    """Find out what a deletion would remove and who stands against it; changes nothing.

    Raises:
        MistudioError: `unknown_dataset`, `unknown_preset` where there is no such tokenization of it.
    """
    record = read_record(store, dataset_id)
    stored = stored_bytes(store, dataset_id)
    if preset is not None and preset not in stored.tokenized:
        raise MistudioError(
            ErrorCode.UNKNOWN_PRESET,
            f"Dataset {dataset_id} has no tokenization {preset!r}.",
            f"It has: {', '.join(stored.tokenized) or 'none'}.",
        )
    return DeletionPlan(
        dataset_id,
        record.name,
        preset,
        stored,
        users=tuple(_outside_users(instance, dataset_id)),
        active_runs=tuple(
            run.run_id
            for run in runs_of_dataset(instance, dataset_id)
            if not run.is_finished and (preset is None or run.tags.get(PARTITION_TAG) == pair_key(dataset_id, preset))
        ),
    )


def delete(instance: dg.DagsterInstance, store: DataStore, plan: DeletionPlan, *, cancel_runs: bool = False) -> int:
    """Delete a dataset, or one tokenization of it. Each step can be repeated.

    Args:
        instance: Where its runs and events are.
        store: Where its files are.
        plan: Of `plan_deletion`.
        cancel_runs: Cancel its own active runs; without it a dataset with active runs is refused.

    Returns:
        The bytes that were freed.

    Raises:
        MistudioError: `in_use` while something uses it, `busy` where a cancelled run does not end.
    """
    if plan.users:
        raise MistudioError(
            ErrorCode.IN_USE,
            f"Dataset {plan.dataset_id} is in use: {'; '.join(plan.users)}.",
            "Wait for it to end, or end it, then delete again.",
        )
    if plan.active_runs and not cancel_runs:
        raise MistudioError(
            ErrorCode.IN_USE,
            f"Dataset {plan.dataset_id} is being worked on by run {', '.join(run[:8] for run in plan.active_runs)}.",
            "Wait for it, or delete with `--cancel-runs` (`cancel_runs: true`).",
        )
    if plan.preset is None:
        mark_deleting(store, plan.dataset_id)
    _cancel(instance, plan.active_runs)
    if plan.preset is not None:
        return _delete_tokenization(instance, store, plan, plan.preset)
    freed = remove_files(store, plan.dataset_id) + empty_trash(store)
    _delete_runs(instance, [run.run_id for run in runs_of_dataset(instance, plan.dataset_id)])
    instance.delete_dynamic_partition(str(DATASETS.name), plan.dataset_id)
    forget(store, plan.dataset_id)
    write_audit(store, "dataset_deleted", plan.dataset_id, name=plan.name, bytes_freed=freed)
    return freed


def runs_of_dataset(instance: dg.DagsterInstance, dataset_id: str) -> list[dg.DagsterRun]:
    """All runs that worked on a dataset, however they were launched."""
    found: dict[str, dg.DagsterRun] = {}
    for tag in _TAGS_OF_A_DATASET:
        for run in instance.get_runs(dg.RunsFilter(tags={tag: dataset_id})):
            found[run.run_id] = run
    return list(found.values())


def _delete_tokenization(instance: dg.DagsterInstance, store: DataStore, plan: DeletionPlan, preset: str) -> int:
    freed = remove_tokenization_files(store, plan.dataset_id, preset)
    key = pair_key(plan.dataset_id, preset)
    _delete_runs(instance, [run.run_id for run in instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: key}))])
    write_audit(store, "tokenization_deleted", plan.dataset_id, preset=preset, bytes_freed=freed)
    return freed


def _outside_users(instance: dg.DagsterInstance, dataset_id: str) -> list[str]:
    runs = instance.get_runs(dg.RunsFilter(tags={names.USES_DATASET_TAG: dataset_id}))
    return [f"run {run.run_id[:8]} of job {run.job_name}" for run in runs if not run.is_finished]


def _cancel(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            continue
        if run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
            instance.report_run_canceled(run, "Canceled because its dataset is being deleted.")
        else:
            instance.run_launcher.terminate(run_id)
    deadline = time.monotonic() + _SECONDS_TO_WAIT_FOR_CANCEL
    waiting = list(run_ids)
    while waiting := [run_id for run_id in waiting if _is_active(instance, run_id)]:
        if time.monotonic() > deadline:
            raise MistudioError(
                ErrorCode.BUSY,
                f"Run {waiting[0][:8]} does not end.",
                "Stop its process, then delete again.",
                transient=True,
            )
        time.sleep(0.2)


def _is_active(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished


def _delete_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Delete runs with their events; without wiping the cached status the UI would stay green."""
    for run_id in run_ids:
        instance.delete_run(run_id)
    for asset in _ASSETS:
        instance.wipe_asset_cached_status([dg.AssetKey(asset)])
