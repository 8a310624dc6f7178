"""After a crash: runs whose process is gone are ended in Dagster's books, and their places in pools freed.

Run monitoring does the same while the daemon runs; this is for the moment before it starts, and after a stop.
"""

from __future__ import annotations

import dagster as dg

from mistudio_pipelines.defs.names import WORKER_TAG
from mistudio_pipelines.defs.workers import Worker

_IN_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_lost_runs(instance: dg.DagsterInstance, *, no_worker_is_lost: bool) -> list[str]:
    """End runs that no process works on any more.

    Args:
        instance: Where the runs are.
        no_worker_is_lost: True where it is known that nothing runs (no code server was up), so that a run without
            a note of its worker is lost too. Workers on other machines are never touched.

    Returns:
        The ids of the runs that were ended.
    """
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_IN_WORK)):
        worker = Worker.from_tag(run.tags.get(WORKER_TAG))
        if worker is None and not no_worker_is_lost:
            continue
        if worker is not None and (not worker.is_here or worker.is_alive):
            continue
        message = "The process of this run is gone (a kill, a crash or a restart of the machine)."
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message)
        else:
            instance.report_run_failed(run, message)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended
