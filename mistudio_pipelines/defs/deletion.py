"""Deleting a dataset everywhere: its runs, its files, its events, its partition key, in an order that can be repeated.

What belongs here: the order and Dagster's side of it. The files are `store/deletion.py`. Whatever moment a deletion is
cut short at, the record says so and the next attempt, or the sensor, does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.forgetting import forget_partition, forget_runs
from mistudio_pipelines.defs.history import TOKENIZED
from mistudio_pipelines.defs.partitions import (
    DATASET_PARTITION_TAG,
    DATASETS,
    PARTITION_TAG,
    pair_key,
)
from mistudio_pipelines.defs.recovery import end_lost_runs
from mistudio_pipelines.defs.status import show_dataset
from mistudio_pipelines.defs.trainings import active_trainings
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.audit import write_audit
from mistudio_pipelines.store.deletion import (
    StoredBytes,
    forget,
    mark_deleting,
    remove_files,
    remove_tokenization_files,
    stored_bytes,
    unmark_deleting,
)
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import DELETION_PART, dataset_lock
from mistudio_pipelines.store.records import DatasetRecord, read_record, stand_in_record

_SECONDS_TO_WAIT_FOR_CANCEL = 40.0
_SECONDS_TO_SAY_GOODBYE = 5.0
_SECONDS_TO_WAIT_FOR_ANOTHER_DELETION = 60.0
_TAGS_OF_A_DATASET = (names.DATASET_TAG, PARTITION_TAG, DATASET_PARTITION_TAG)


@dataclass(frozen=True)
class DeletionPlan:
    """What deleting a dataset (or one tokenization of it) would remove.

    Attributes:
        dataset_id: Its id.
        name: What people call it.
        preset: The one tokenization to delete, or None for the whole dataset.
        stored: What it takes on disk.
        users: Trainings and runs that use it from outside, each as a few words; they must end first.
        active_runs: Ids of its own queued or running runs.
        was_begun: An earlier deletion was cut short.
    """

    dataset_id: str
    name: str
    preset: str | None
    stored: StoredBytes
    users: tuple[str, ...]
    active_runs: tuple[str, ...]
    was_begun: bool = False

    @property
    def bytes(self) -> int:
        """Bytes that would be freed."""
        return self.stored.total if self.preset is None else self.stored.tokenized.get(self.preset, 0)


def plan_deletion(
    instance: dg.DagsterInstance, store: DataStore, dataset_id: str, preset: str | None = None
) -> DeletionPlan:
    """Find out what a deletion would remove and who stands against it; changes nothing. Waits for runs that only end.

    A dataset whose record is lost or damaged can be deleted too, as long as Dagster knows it.

    Raises:
        MistudioError: `unknown_dataset`, `unknown_preset` where there is no such tokenization of it.
    """
    record = _find_record(instance, store, dataset_id)
    stored = stored_bytes(store, dataset_id)
    if preset is not None and not _has_tokenization(instance, record, stored, preset):
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
        users=tuple(users_of_dataset(instance, dataset_id)),
        active_runs=tuple(_runs_at_work(instance, store, dataset_id, preset)),
        was_begun=record.deleting or preset in record.deleting_tokenizations,
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
        MistudioError: `in_use` while something uses it, `busy` where a cancelled run or another deletion does not
            end, `unknown_dataset` where another deletion has just finished.
    """
    _refuse_users(plan.dataset_id, plan.users)
    if plan.active_runs and not cancel_runs:
        raise MistudioError(
            ErrorCode.IN_USE,
            f"Dataset {plan.dataset_id} is being worked on by run {', '.join(run[:8] for run in plan.active_runs)}.",
            "Wait for it, or delete with `--cancel-runs` (`cancel_runs: true`).",
        )
    wait = _SECONDS_TO_WAIT_FOR_ANOTHER_DELETION
    with dataset_lock(store, plan.dataset_id, DELETION_PART, "being deleted", wait_seconds=wait):
        try:
            _find_record(instance, store, plan.dataset_id)
        except MistudioError:  # somebody else has just finished; our lock file would be a leftover
            forget(store, plan.dataset_id)
            raise
        _begin(instance, store, plan)
        _cancel(instance, plan.dataset_id, plan.preset)
        if plan.preset is not None:
            return _delete_tokenization(instance, store, plan, plan.preset)
        return _delete_dataset(instance, store, plan)


def users_of_dataset(instance: dg.DagsterInstance, dataset_id: str) -> list[str]:
    """Who uses a dataset from outside: trainings that said so, and runs of other jobs with the tag for it."""
    runs = instance.get_runs(dg.RunsFilter(tags={names.USES_DATASET_TAG: dataset_id}))
    trainings = [one for one in active_trainings(instance) if one.dataset_id == dataset_id]
    return [
        *(f"training {one.training_id}" for one in trainings),
        *(f"run {run.run_id[:8]} of job {run.job_name}" for run in runs if not run.is_finished),
    ]


def runs_of_dataset(instance: dg.DagsterInstance, dataset_id: str) -> list[dg.DagsterRun]:
    """All runs that worked on a dataset, however they were launched."""
    found: dict[str, dg.DagsterRun] = {}
    for tag in _TAGS_OF_A_DATASET:
        for run in instance.get_runs(dg.RunsFilter(tags={tag: dataset_id})):
            found[run.run_id] = run
    return list(found.values())


def _find_record(instance: dg.DagsterInstance, store: DataStore, dataset_id: str) -> DatasetRecord:
    try:
        return read_record(store, dataset_id)
    except MistudioError as error:
        if error.code == ErrorCode.DATA_CORRUPT or instance.has_dynamic_partition(str(DATASETS.name), dataset_id):
            return stand_in_record(store, dataset_id)
        raise


def _has_tokenization(instance: dg.DagsterInstance, record: DatasetRecord, stored: StoredBytes, preset: str) -> bool:
    """On disk, or only in Dagster's books, or half deleted."""
    if preset in stored.tokenized or preset in record.deleting_tokenizations:
        return True
    events = dg.AssetRecordsFilter(asset_key=TOKENIZED, asset_partitions=[pair_key(record.id, preset)])
    return bool(instance.fetch_materializations(events, limit=1).records)


def _refuse_users(dataset_id: str, users: Sequence[str]) -> None:
    if users:
        raise MistudioError(
            ErrorCode.IN_USE,
            f"Dataset {dataset_id} is in use: {'; '.join(users)}.",
            "Wait for it to end, or end it, then delete again.",
        )


def _begin(instance: dg.DagsterInstance, store: DataStore, plan: DeletionPlan) -> None:
    """Mark the deletion, then look for users again: one that came before the mark is seen, one after it is refused."""
    mark_deleting(store, plan.dataset_id, plan.preset)
    try:
        _refuse_users(plan.dataset_id, users_of_dataset(instance, plan.dataset_id))
    except MistudioError:
        if not plan.was_begun:
            unmark_deleting(store, plan.dataset_id, plan.preset)
        raise
    event = "deletion_began" if plan.preset is None else "tokenization_deletion_began"
    write_audit(store, event, plan.dataset_id, name=plan.name, preset=plan.preset, bytes=plan.bytes)


def _delete_dataset(instance: dg.DagsterInstance, store: DataStore, plan: DeletionPlan) -> int:
    freed = remove_files(store, plan.dataset_id)
    forget_runs(instance, [run.run_id for run in runs_of_dataset(instance, plan.dataset_id)])
    # First the key: a change of status that is noted meanwhile is noted for keys that are there.
    instance.delete_dynamic_partition(str(DATASETS.name), plan.dataset_id)
    forget_partition(instance, plan.dataset_id)
    write_audit(store, "dataset_deleted", plan.dataset_id, name=plan.name, bytes_freed=freed)
    forget(store, plan.dataset_id)
    return freed


def _delete_tokenization(instance: dg.DagsterInstance, store: DataStore, plan: DeletionPlan, preset: str) -> int:
    freed = remove_tokenization_files(store, plan.dataset_id, preset)
    forget_runs(instance, [run.run_id for run in _runs_of_tokenization(instance, plan.dataset_id, preset)])
    forget_partition(instance, str(pair_key(plan.dataset_id, preset)))
    write_audit(store, "tokenization_deleted", plan.dataset_id, name=plan.name, preset=preset, bytes_freed=freed)
    unmark_deleting(store, plan.dataset_id, preset)
    return freed


def _runs_of_tokenization(instance: dg.DagsterInstance, dataset_id: str, preset: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: pair_key(dataset_id, preset)}))


def _active_runs(instance: dg.DagsterInstance, dataset_id: str, preset: str | None) -> list[str]:
    if preset is None:
        runs: Sequence[dg.DagsterRun] = runs_of_dataset(instance, dataset_id)
    else:
        runs = _runs_of_tokenization(instance, dataset_id, preset)
    return [run.run_id for run in runs if not run.is_finished]


def _runs_at_work(instance: dg.DagsterInstance, store: DataStore, dataset_id: str, preset: str | None) -> list[str]:
    """The active runs; one that has made everything and only has to say that it ends is given the time for it."""
    deadline = time.monotonic() + _SECONDS_TO_SAY_GOODBYE
    while active := _active_runs(instance, dataset_id, preset):
        is_made = show_dataset(instance, store, dataset_id).status.status == "ready"
        if not is_made or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return active


def _cancel(instance: dg.DagsterInstance, dataset_id: str, preset: str | None) -> None:
    """Cancel the active runs and wait for them, also those that were started while the deletion was marked.

    Raises:
        MistudioError: `busy`.
    """
    deadline = time.monotonic() + _SECONDS_TO_WAIT_FOR_CANCEL
    asked: set[str] = set()
    while active := _active_runs(instance, dataset_id, preset):
        for run_id in set(active) - asked:
            asked.add(run_id)
            _ask_to_end(instance, run_id)
        end_lost_runs(instance, no_worker_is_lost=False)
        if time.monotonic() > deadline:
            raise MistudioError(
                ErrorCode.BUSY,
                f"Run {active[0][:8]} does not end.",
                "Stop its process, then delete again.",
                transient=True,
            )
        time.sleep(0.2)


def _ask_to_end(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    if run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
        instance.report_run_canceled(run, "Canceled because its dataset is being deleted.")
    else:
        instance.run_launcher.terminate(run_id)
