"""Re-execution, as the UI's button does it, is a retry that continues: from an error of every stage, and a deletion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

from mistudio_pipelines.defs.retrying import tokenization_run
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.faults import Faults
from mistudio_pipelines_tests.live.stack import Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

_HOLDER = """
import sys, time
from pathlib import Path
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, dataset_lock
with dataset_lock(DataStore(Path(sys.argv[1])), sys.argv[2], INDEX_PART, "being indexed"):
    print("held", flush=True)
    time.sleep(120)
"""


def _add(stack: Stack, name: str) -> str:
    texts = [f"{name} {number} " + "some words to read " * 50 for number in range(2000)]
    stack.hub.add_repository(name, {"data/train-00000-of-00001.parquet": parquet_bytes(texts)})
    return stack.add(name)


def _failed_run(stack: Stack, job: str, dataset_id: str) -> str:
    def ended() -> dg.DagsterRun | None:
        runs = [run for run in stack.runs(job) if dataset_id in str(run.tags) + str(run.run_config)]
        return next((run for run in runs if run.is_finished and not run.is_success), None)

    run = stack.wait(ended, what=f"{job} of {dataset_id} to fail")
    return str(run.run_id)


@contextmanager
def _blocked(path: Path) -> Iterator[None]:
    """A file where a folder is to be made: whoever wants to write there fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    try:
        yield
    finally:
        path.unlink()


def _retry_leads_on(stack: Stack, run_id: str, job: str, dataset_id: str) -> None:
    before = len(stack.runs(job, dataset_id))
    again = stack.client.retry_run(run_id)
    state = stack.wait(lambda: (run := stack.client.run_state(again)).is_finished and run, what="the re-execution")
    assert state.status == "SUCCESS", state
    assert len(stack.runs(job, dataset_id)) == before + 1  # nothing else was started for it meanwhile


def _runs_that_mention(stack: Stack, dataset_id: str) -> set[str]:
    """Of the events that Dagster looks up across runs, on either database."""
    storage, events = stack.instance.event_log_storage, SqlEventLogStorageTable
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as connection:
        rows = connection.execute(events.select().where(events.c.event.contains(dataset_id))).fetchall()
    return {row.run_id for row in rows}


@pytest.mark.slow
def test_every_stage_continues_when_its_run_is_re_executed(stack: Stack) -> None:
    stack.mistudio("tokenization", "save", "again", "--tokenizer", str(SAMPLE_TOKENIZER), "--context-size", "64")
    stack.hub.faults.slow("someone/again/*parquet", 200_000)
    dataset_id = _add(stack, "someone/again")
    stack.wait(lambda: stack.hub.bytes_served("someone/again/*.parquet") > 300_000, what="some bytes", pause=0.05)
    (run,) = stack.runs("download", dataset_id)
    stack.client.cancel(run.run_id)
    stack.wait_until([dataset_id], "error")
    stack.hub.faults.clear()

    with _blocked(stack.store.index_partial(dataset_id)):
        _retry_leads_on(stack, _failed_run(stack, "download", dataset_id), "download", dataset_id)
        failed = _failed_run(stack, "ingest", dataset_id)
        assert stack.datasets()[dataset_id].status.status == "error"
    _retry_leads_on(stack, failed, "ingest", dataset_id)
    stack.wait_until([dataset_id])

    with _blocked(stack.store.tokenized_partial(dataset_id, "again")):
        request = tokenization_run(dataset_id, "again")
        stack.client.launch(request.job, tags=request.tags)
        failed = _failed_run(stack, "tokenize", dataset_id)
        assert stack.datasets()[dataset_id].status.status == "error"
    _retry_leads_on(stack, failed, "tokenize", dataset_id)
    stack.wait_until([dataset_id])
    assert stack.datasets()[dataset_id].tokenizations == ("again",)
    # What was fetched before the cancel was not fetched again.
    size = sum(path.stat().st_size for path in stack.store.raw(dataset_id).glob("*.parquet"))
    assert stack.hub.bytes_served("someone/again/*.parquet") < size + 2 * 1024 * 1024


@pytest.mark.slow
def test_a_refused_download_is_re_executed_when_the_hub_allows_it(stack: Stack) -> None:
    stack.hub.add_repository("someone/refused", {"data/train.parquet": parquet_bytes(["one", "two"])})
    dataset_id = stack.add("someone/refused")
    stack.hub.faults.fail("*/refused/resolve/*parquet", 403, times=None)
    failed = _failed_run(stack, "download", dataset_id)
    status = stack.datasets()[dataset_id].status
    assert (status.status, status.stage) == ("error", "download")
    stack.hub.faults.clear()
    _retry_leads_on(stack, failed, "download", dataset_id)
    stack.wait_until([dataset_id])


@pytest.mark.slow
def test_a_deletion_whose_process_was_killed_is_finished_by_its_re_execution(stack: Stack, faults: Faults) -> None:
    dataset_id = _add(stack, "someone/deleted")
    stack.wait_until([dataset_id])
    command = [sys.executable, "-c", _HOLDER, str(stack.store.root), dataset_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        config = {"ops": {"delete": {"config": {"dataset_ids": [dataset_id], "confirm": [dataset_id]}}}}
        run_id = stack.client.launch("delete_datasets", run_config=config)
        stack.wait(lambda: stack.datasets()[dataset_id].status.status == "deleting", what="the deletion", pause=0.05)
        stack.kill("workers", "daemon")
        faults.cause("kill -9 of a deletion")
        holder.kill()
    stack.services.watch()
    stack.wait(lambda: stack.client.run_state(run_id).is_finished, what="the killed run to be noticed")
    again = stack.client.retry_run(run_id)
    state = stack.wait(lambda: (run := stack.client.run_state(again)).is_finished and run, what="the re-execution")
    # The sensor finishes it as well; whoever comes second is told that the dataset is gone.
    assert state.status == "SUCCESS" or state.tags.get("mistudio/error_code") == "unknown_dataset", state
    assert dataset_id not in stack.datasets()
    deletions = {run.run_id for run in stack.runs("delete_datasets")}
    assert _runs_that_mention(stack, dataset_id) <= deletions
    assert [path for path in stack.store.root.rglob(f"*{dataset_id}*") if stack.home not in path.parents] == []
    faults.survived()
