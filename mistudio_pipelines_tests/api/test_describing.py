"""How runs are shown over the REST API."""

from __future__ import annotations

import dagster as dg

from mistudio_pipelines.api.dagster_runs import run_error
from mistudio_pipelines.api.describing import job_state
from mistudio_pipelines.defs import names
from mistudio_pipelines.defs.workers import this_worker
from mistudio_pipelines.errors import ErrorCode


def _run(run_id: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    tags = {
        names.WORKER_TAG: this_worker().to_tag("parent"),
        names.ERROR_CODE_TAG: "access_denied",
        names.ERROR_TAG: "Refused.",
        names.PROGRESS_TAG: "40 %",
        names.DATASET_TAG: "ds_1",
    }
    return dg.DagsterRun("add_dataset", run_id=run_id, status=status, tags=tags)


def test_a_job_that_failed_says_why() -> None:
    state = job_state(_run("parent", dg.DagsterRunStatus.FAILURE))

    assert (state.error_code, state.error_message, state.detail) == ("access_denied", "Refused.", "40 %")
    assert run_error(_run("parent", dg.DagsterRunStatus.FAILURE)).code == ErrorCode.ACCESS_DENIED


def test_a_job_that_is_re_executed_does_not_show_the_error_and_progress_of_its_parent() -> None:
    """Dagster copies all tags of the parent."""
    state = job_state(_run("again", dg.DagsterRunStatus.STARTING))

    assert (state.error_code, state.error_message, state.detail) == (None, None, None)
    assert state.dataset_id == "ds_1"
    assert run_error(_run("again", dg.DagsterRunStatus.FAILURE)).code == ErrorCode.RUN_FAILED
