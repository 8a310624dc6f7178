"""Dagster's default run launcher, plus an answer to "is the process of this run still there?".

Without an answer a run that was lost with the machine's power blocks the queue for ever; without a way to the process
itself a run whose code server was killed could not be cancelled.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import deserialize_value

from mistudio_pipelines.defs.workers import worker_of


class WatchedRunLauncher(DefaultRunLauncher):
    """Launches runs as the default launcher does and tells run monitoring which of them are lost."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks only launchers that say yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the worker of a started run is alive.

        A worker on this machine is looked up by its process; one elsewhere is asked of its code server. While
        nobody can answer, the run counts as alive: the code server that comes back knows whether it has the run.
        """
        worker = worker_of(run)
        if worker is not None and worker.is_here:
            if worker.is_alive:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The process {worker.pid} of the run is gone.")
        if GRPC_INFO_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return self._ask_code_server(run)

    def terminate(self, run_id: str) -> bool:
        """Ask the worker of a run to end; the one of a code server that was killed is asked directly."""
        from dagster._core.errors import DagsterUserCodeUnreachableError

        try:
            if super().terminate(run_id):  # type: ignore[no-untyped-call]  # Dagster's
                return True
        except DagsterUserCodeUnreachableError:
            pass
        run = self._instance.get_run_by_id(run_id)
        worker = worker_of(run) if run is not None and not run.is_finished else None
        if worker is None or not worker.is_here or not worker.is_alive:
            return False
        os.kill(worker.pid, signal.SIGTERM)
        return True

    def _ask_code_server(self, run: DagsterRun) -> CheckRunHealthResult:
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

        client: Any = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster's
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = deserialize_value(
                client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5),
                CanCancelExecutionResult,
            )
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The code server does not answer.")
        if answer.can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "The code server does not know the run.")
