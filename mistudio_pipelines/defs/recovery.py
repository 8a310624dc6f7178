"""Putting everything in order after a crash: what was lost is ended in Dagster's books, and what was begun is tidied.

What belongs here: what is done before the services start, after they stopped, and at every look of the sensor. What
does not: starting lost work again, which `decisions.py` decides, and unfinished deletions (`deletion.py`).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.tags import GRPC_INFO_TAG

from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.registration import register_missing_keys
from mistudio_pipelines.defs.workers import worker_of
from mistudio_pipelines.processes import end_processes
from mistudio_pipelines.serving import stop_leftovers
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.orphans import tidy_after_crash

_IN_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def recover_before_start(store: DataStore, home: Path) -> list[str]:
    """Prepare a Dagster home whose services do not run, whatever happened to them before.

    Args:
        store: The data folder.
        home: The Dagster home; made where it is not there.

    Returns:
        What was found and done, each as a sentence.
    """
    prepare_home(home)
    stop_leftovers(home)
    with open_instance(home) as instance:
        lost = end_lost_runs(instance, no_worker_is_lost=True)
        found = register_missing_keys(instance, store)
        tidy_after_crash(store, instance.get_dynamic_partitions(str(DATASETS.name)))
    cut_off = [f"{len(lost)} run(s) were cut off when Dagster last stopped; they continue now."] if lost else []
    return [*cut_off, *(f"Found on disk and registered: {key}" for key in found)]


def settle_after_stop(home: Path) -> None:
    """Leave no process and no run behind once the services have been stopped."""
    with open_instance(home) as instance:
        _end_orphaned_workers(instance)
        end_lost_runs(instance, no_worker_is_lost=True)


def end_lost_runs(instance: dg.DagsterInstance, *, no_worker_is_lost: bool) -> list[str]:
    """End runs that no process works on any more, and free their places in pools.

    Run monitoring does the same every five seconds for runs that have started; here it is done at once.

    Args:
        instance: Where the runs are.
        no_worker_is_lost: True where it is known that nothing runs (no code server was up), so that a run without
            a note of its worker is lost too. Workers on other machines are never touched.

    Returns:
        The ids of the runs that were ended.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_IN_WORK)):
        worker = worker_of(run)
        is_lost = no_worker_is_lost if worker is None else worker.is_gone
        # A worker writes the end of its run before it ends: what the books say now is what it did.
        current = instance.get_run_by_id(run.run_id) if is_lost else None
        if current is None or current.is_finished:
            continue
        message = "The process of this run is gone (a kill, a crash or a restart of the machine)."
        if current.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(current, message)
        else:
            instance.report_run_failed(current, message)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _end_orphaned_workers(instance: dg.DagsterInstance) -> None:
    """End workers whose code server was killed: they are nobody's children any more and would work on.

    Runs that somebody works on in a process of their own (`dagster asset materialize`) were not launched and stay.
    """
    workers = [
        worker_of(run) for run in instance.get_runs(dg.RunsFilter(statuses=_IN_WORK)) if GRPC_INFO_TAG in run.tags
    ]
    processes = []
    for worker in workers:
        if worker is not None and worker.is_here and worker.is_alive:
            try:
                processes.append(psutil.Process(worker.pid))
            except psutil.NoSuchProcess:
                continue
    end_processes(processes)
