"""kill -9 of worker, code server, webserver, daemon and all of them, while something is being done: it always ends."""

from __future__ import annotations

import json
import os
import time

import dagster as dg
import pytest

from mistudio_pipelines.defs.retrying import tokenization_run
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.store.raw_folder import verify_raw
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.faults import Faults
from mistudio_pipelines_tests.live.stack import Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MEBIBYTE = 1024 * 1024
EVERYTHING = ("daemon", "code", "webserver", "workers")


def _add_repository(stack: Stack, name: str, megabytes: int = 4, *, slow: bool = False) -> str:
    """Add a repository, as a dataset; one that is slow takes a minute or more until `faults.clear`."""
    texts = [f"{name} {number} " + "some words to read " * 50 for number in range(megabytes * 1024)]
    stack.hub.add_repository(name, {"data/train-00000-of-00001.parquet": parquet_bytes(texts)})
    if slow:
        stack.hub.faults.slow(f"{name}/*parquet", megabytes * MEBIBYTE / 60)
    return stack.add(name)


def _wait_for_worker(stack: Stack, job: str, dataset_id: str) -> None:
    def is_worked_on() -> bool:
        runs = stack.runs(job, dataset_id)
        return any(run.status == dg.DagsterRunStatus.STARTED for run in runs) and bool(stack.workers())

    stack.wait(is_worked_on, what=f"{job} of {dataset_id}", pause=0.05)


def _wait_for_bytes(stack: Stack, name: str, at_least: int = MEBIBYTE // 2) -> None:
    stack.wait(lambda: _fetched(stack, name) >= at_least, what=f"some bytes of {name}", pause=0.05)


def _fetched(stack: Stack, name: str) -> int:
    return stack.hub.bytes_served(f"{name}/*.parquet")


def _assert_hardly_fetched_twice(stack: Stack, name: str, dataset_id: str, kills: int = 1) -> None:
    """A kill may cost what was on the line and not yet on disk; the plan reads the file's footer once more."""
    size = sum(path.stat().st_size for path in stack.store.raw(dataset_id).glob("*.parquet"))
    assert _fetched(stack, name) < size + (1 + kills) * 2 * MEBIBYTE


def test_a_killed_download_is_noticed_at_once_and_continued_by_itself(stack: Stack, faults: Faults) -> None:
    dataset_id = _add_repository(stack, "someone/worker-killed", slow=True)
    _wait_for_bytes(stack, "someone/worker-killed")
    stack.kill("workers")
    faults.cause("kill -9 of workers")
    stack.hub.faults.clear()
    status = stack.datasets()[dataset_id].status
    # Not the progress of the dead, although Dagster's books still have it.
    assert status.percent is None and ("cut off" in status.detail or status.detail == "queued"), status
    stack.wait_until([dataset_id], seconds=90)
    _assert_hardly_fetched_twice(stack, "someone/worker-killed", dataset_id)
    assert [run.tags.get("mistudio/attempt") for run in stack.runs("download", dataset_id)] == ["1", None]
    faults.survived()


@pytest.mark.chaos
def test_a_download_goes_on_without_its_code_server_and_can_still_be_cancelled_and_retried(
    stack: Stack, faults: Faults
) -> None:
    dataset_id = _add_repository(stack, "someone/code-killed", slow=True)
    _wait_for_bytes(stack, "someone/code-killed")
    (worker,) = stack.workers()
    stack.kill("code", "webserver")
    faults.cause("kill -9 of code and webserver")
    assert worker.is_alive
    stack.services.watch()
    stack.wait_for_server()
    assert stack.datasets()[dataset_id].status.status == "downloading"

    (run,) = stack.runs("download", dataset_id)
    stack.client.cancel(run.run_id)
    stack.wait_until([dataset_id], "error", seconds=60)
    assert stack.datasets()[dataset_id].status.error_code == "cancelled"
    stack.wait(lambda: not worker.is_alive, what="the worker to end")

    stack.hub.faults.clear()
    request = dict(run.tags)
    stack.client.launch("download", tags={"dagster/partition": request["dagster/partition"]})
    stack.wait_until([dataset_id], seconds=90)
    _assert_hardly_fetched_twice(stack, "someone/code-killed", dataset_id)
    faults.survived()


def test_after_everything_was_killed_a_start_takes_everything_up_again(stack: Stack, faults: Faults) -> None:
    """One dataset is downloading, one waits for it, one is being tokenized, one is ready; all are killed at once."""
    tokenizer = str(SAMPLE_TOKENIZER)
    stack.mistudio("tokenization", "save", "small", "--tokenizer", tokenizer, "--context-size", "64")
    ready = _add_repository(stack, "someone/was-ready")
    stack.wait_until([ready], seconds=90)
    before = _fetched(stack, "someone/was-ready")
    downloading = _add_repository(stack, "someone/was-downloading", slow=True)
    waiting = _add_repository(stack, "someone/was-waiting", megabytes=1)
    _wait_for_bytes(stack, "someone/was-downloading")
    request = tokenization_run(ready, "small")
    stack.client.launch(request.job, tags=request.tags)
    _wait_for_worker(stack, "tokenize", ready)

    stack.kill(*EVERYTHING)
    faults.cause("kill -9 of all processes")
    stack.hub.faults.clear()
    details = {key: one.status.detail for key, one in stack.datasets().items()}
    assert "cut off" in details[downloading]
    assert details[waiting] in ("queued", "waiting to be started")
    began = time.monotonic()
    stack.restart()
    stack.wait_until([downloading, waiting, ready], seconds=120)
    stack.wait(lambda: stack.datasets()[ready].tokenizations == ("small",), what="the tokenization")
    print(f"all ready {time.monotonic() - began:.0f} s after the start")
    assert _fetched(stack, "someone/was-ready") == before
    _assert_hardly_fetched_twice(stack, "someone/was-downloading", downloading)
    stack.wait(lambda: all(run.is_finished for run in stack.instance.get_runs()), what="every run to end")
    assert stack.instance.event_log_storage.get_concurrency_info("download").active_slot_count == 0
    faults.survived()


@pytest.mark.chaos
def test_a_killed_ingestion_and_a_killed_deletion_are_finished_by_themselves(stack: Stack, faults: Faults) -> None:
    dataset_id = _add_repository(stack, "someone/ingestion-killed", megabytes=20)
    _wait_for_worker(stack, "ingest", dataset_id)
    stack.kill("workers", "daemon")
    faults.cause("kill -9 of an ingestion and the daemon")
    stack.services.watch()
    stack.wait_until([dataset_id], seconds=90)
    assert json.loads(stack.mistudio("samples", dataset_id, "--search", "words", "--json"))["total"] == 20 * 1024

    config = {"ops": {"delete": {"config": {"dataset_ids": [dataset_id], "confirm": [dataset_id]}}}}
    stack.client.launch("delete_datasets", run_config=config)
    stack.wait(lambda: stack.runs("delete_datasets") and stack.workers(), what="the deletion", pause=0.05)
    stack.wait(
        lambda: dataset_id not in stack.datasets() or stack.datasets()[dataset_id].status.status == "deleting",
        what="the deletion to begin",
        pause=0.05,
    )
    stack.kill("workers")
    faults.cause("kill -9 of a deletion")
    stack.wait(lambda: dataset_id not in stack.datasets(), seconds=60, what="the deletion to be finished")
    left = [path for path in stack.store.root.rglob(f"*{dataset_id}*") if stack.home not in path.parents]
    assert left == []
    faults.survived()


@pytest.mark.slow
def test_the_demo_tries_its_sample_again_where_it_is_in_error(stack: Stack) -> None:
    """Its raw file is cut short: the sample is in error, and the next `mistudio demo` makes everything again."""
    first = stack.mistudio("demo")
    assert "Trying again" not in first
    (dataset_id,) = (key for key, one in stack.datasets().items() if one.record.source == "local")
    file = next(stack.store.raw(dataset_id).glob("*.parquet"))
    os.truncate(file, file.stat().st_size // 2)
    assert stack.datasets()[dataset_id].status.error_code == "data_corrupt"

    second = stack.mistudio("demo")

    assert "Trying again after: The raw files on the disk are damaged." in second
    overview = stack.datasets()[dataset_id]
    assert (overview.status.status, overview.tokenizations) == ("ready", ("sample-128",))
    folder = stack.store.raw(dataset_id)
    assert verify_raw(folder, read_manifest(folder)) == []
