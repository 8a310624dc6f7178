"""Is the process of a run still there? With real processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from mistudio_pipelines.defs.decisions import Attempt
from mistudio_pipelines.defs.history import AttemptRun, reported_tags
from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.defs.launcher import WatchedRunLauncher
from mistudio_pipelines.defs.names import ATTEMPT_TAG, DOWNLOAD_POOL, ERROR_CODE_TAG, ERROR_TAG, WORKER_TAG
from mistudio_pipelines.defs.recovery import end_lost_runs
from mistudio_pipelines.defs.workers import Worker, this_worker, worker_of


def _gone_worker() -> Worker:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return Worker(socket.gethostname(), process.pid, this_worker().started)


def test_a_worker_survives_the_way_through_a_tag() -> None:
    worker = this_worker()
    assert Worker.from_tag(worker.to_tag("run-1")) == worker
    assert worker.is_here
    assert worker.is_alive


@pytest.mark.parametrize("tag", [None, "", "{", "[]", '{"host": "x"}', '{"host": "x", "pid": "y", "started": 1}'])
def test_a_tag_that_is_no_worker_is_none(tag: str | None) -> None:
    assert Worker.from_tag(tag) is None


def test_a_process_id_that_was_given_to_another_process_is_not_the_worker() -> None:
    assert not replace(this_worker(), started="another-boot/17").is_alive


def _run(
    instance: dg.DagsterInstance, worker: Worker | None, status: dg.DagsterRunStatus, parent: str | None = None
) -> dg.DagsterRun:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def something() -> None:
        nothing()

    found = instance.get_run_by_id(parent) if parent else None
    run = instance.create_run_for_job(
        something, status=status, parent_run_id=parent, root_run_id=parent, tags=found.tags if found else None
    )
    if worker is not None:
        instance.add_run_tags(run.run_id, {WORKER_TAG: worker.to_tag(run.run_id)})
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_run_that_is_re_executed_does_not_inherit_worker_and_error_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster copies all tags of the parent: the run would count as lost before it began."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    prepare_home(tmp_path)
    with open_instance(tmp_path) as instance:
        parent = _run(instance, _gone_worker(), dg.DagsterRunStatus.FAILURE)
        instance.add_run_tags(parent.run_id, {ERROR_TAG: "Refused.", ERROR_CODE_TAG: "access_denied", ATTEMPT_TAG: "3"})
        again = _run(instance, None, dg.DagsterRunStatus.STARTING, parent.run_id)
        assert WORKER_TAG in again.tags

        assert worker_of(again) is None
        assert reported_tags(again).get(ERROR_CODE_TAG) is None
        assert AttemptRun(1, again).summary() == Attempt(again.run_id, "active", 0)
        assert AttemptRun(1, again.with_status(dg.DagsterRunStatus.FAILURE)).summary().state == "lost"
        assert end_lost_runs(instance, no_worker_is_lost=False) == []
        health = instance.run_launcher.check_run_worker_health(again)
        assert health.status == WorkerStatus.RUNNING


def test_run_monitoring_is_told_which_runs_lost_their_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    prepare_home(tmp_path)
    with open_instance(tmp_path) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WatchedRunLauncher)
        assert launcher.supports_check_run_worker_health
        started = dg.DagsterRunStatus.STARTED
        elsewhere = replace(_gone_worker(), host="another-machine")
        expected = {
            this_worker(): WorkerStatus.RUNNING,
            _gone_worker(): WorkerStatus.FAILED,
            elsewhere: WorkerStatus.RUNNING,
            None: WorkerStatus.RUNNING,
        }
        for worker, status in expected.items():
            assert launcher.check_run_worker_health(_run(instance, worker, started)).status == status, worker


def test_runs_without_a_process_are_ended_and_give_their_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    prepare_home(tmp_path)
    with open_instance(tmp_path) as instance:
        lost = _run(instance, _gone_worker(), dg.DagsterRunStatus.STARTED)
        alive = _run(instance, this_worker(), dg.DagsterRunStatus.STARTED)
        canceling = _run(instance, _gone_worker(), dg.DagsterRunStatus.CANCELING)
        starting = _run(instance, None, dg.DagsterRunStatus.STARTING)
        storage = instance.event_log_storage
        storage.claim_concurrency_slot(DOWNLOAD_POOL, lost.run_id, "raw")

        assert set(end_lost_runs(instance, no_worker_is_lost=False)) == {lost.run_id, canceling.run_id}
        assert set(end_lost_runs(instance, no_worker_is_lost=True)) == {starting.run_id}

        def status(run: dg.DagsterRun) -> str:
            found = instance.get_run_by_id(run.run_id)
            assert found is not None
            return found.status.value

        assert [status(run) for run in (lost, alive, canceling, starting)] == [
            "FAILURE",
            "STARTED",
            "CANCELED",
            "FAILURE",
        ]
        assert storage.get_concurrency_info(DOWNLOAD_POOL).active_slot_count == 0
