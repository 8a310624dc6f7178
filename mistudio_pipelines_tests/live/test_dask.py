"""Tokenization and ingestion on a Dask cluster of separate processes, one of which is killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client

from mistudio_pipelines.dask_cluster import cluster_executor
from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.sharding import run_tasks
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text import ingestion_shards
from mistudio_pipelines.text.browsing import SampleQuery, browse
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.sample_index import check_index
from mistudio_pipelines.tokenization import output, planning
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import files_of, tokenize
from mistudio_pipelines_tests.tokenization.tokenizer_folders import SAMPLE_TOKENIZER

pytestmark = pytest.mark.live

TEXTS = [f"Document {number} says: " + f"the fox {number} and the dog, " * (number % 90) for number in range(3000)]


@dataclass
class Cluster:
    """A scheduler and its workers, each a process."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    def kill_a_worker(self) -> None:
        os.kill(self.workers.pop().pid, signal.SIGKILL)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / "dask.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )


def start_workers(address: str, folder: Path, count: int) -> list[subprocess.Popen[bytes]]:
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
    return [start(folder, "worker", address, *options, "--host", "127.0.0.1") for _ in range(count)]


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    note = folder / "scheduler.json"
    scheduler = start(
        folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(note)
    )
    deadline = time.monotonic() + 60
    while not note.exists() or not note.read_text():
        assert scheduler.poll() is None, (folder / "dask.log").read_text()
        assert time.monotonic() < deadline, "the scheduler does not start"
        time.sleep(0.05)
    address = json.loads(note.read_text())["address"]
    workers = start_workers(address, folder, 2)
    everything = [*workers, scheduler]
    try:
        yield Cluster(address, scheduler, workers)
    finally:
        end(everything)


def dataset(root: Path) -> DataStore:
    return make_dataset(root, {"train": TEXTS, "validation": TEXTS[::7]}, row_group_size=100)


def test_tokenization_goes_on_when_a_worker_is_killed_and_writes_the_same_bytes(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_BYTES", 100_000)
    monkeypatch.setattr(output, "FILE_TOKENS", 100_000)
    alone, spread = dataset(tmp_path / "alone"), dataset(tmp_path / "spread")
    tokenize(alone, SAMPLE_TOKENIZER, context_size=64)
    killed = []

    def kill_one_half_way(progress):
        if not killed and progress.done > progress.total / 4:
            cluster.kill_a_worker()
            killed.append(progress.done)

    with cluster_executor(cluster.address, spread) as executor:
        tokenize(spread, SAMPLE_TOKENIZER, context_size=64, executor=executor, on_progress=kill_one_half_way)

    assert killed
    assert files_of(spread) == files_of(alone)
    assert check_tokenization(spread, DATASET_ID, "p") == []


def test_ingestion_goes_on_when_a_worker_is_killed_and_makes_the_same(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(ingestion_shards, "_SMALLEST_SHARD_BYTES", 300_000)
    alone, spread = dataset(tmp_path / "alone"), dataset(tmp_path / "spread")
    expected = ingest(alone, DATASET_ID)
    killed = []

    def kill_one_half_way(progress):
        if not killed and progress.done > 0:
            cluster.kill_a_worker()
            killed.append(progress.done)

    with cluster_executor(cluster.address, spread) as executor:
        made = ingest(spread, DATASET_ID, executor=executor, on_progress=kill_one_half_way)

    assert killed
    assert made.statistics.total == expected.statistics.total
    assert check_index(spread, DATASET_ID) == []
    query = SampleQuery(search='"fox 31"')
    assert browse(spread, DATASET_ID, query).samples == browse(alone, DATASET_ID, query).samples


def test_a_stop_reaches_the_workers_and_leaves_no_files(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(ingestion_shards, "_SMALLEST_SHARD_BYTES", 300_000)
    store = dataset(tmp_path / "data")
    seen = []
    with cluster_executor(cluster.address, store) as executor, pytest.raises(Stopped):
        ingest(store, DATASET_ID, executor=executor, on_progress=seen.append, should_stop=lambda: bool(seen))
    time.sleep(1)
    assert not store.index_partial(DATASET_ID).exists()


def test_a_worker_that_does_not_see_the_data_folder_is_named(tmp_path, cluster):
    with pytest.raises(MistudioError) as caught, cluster_executor(cluster.address, DataStore(tmp_path / "elsewhere")):
        pass
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert "does not see the data folder" in caught.value.message


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", ErrorCode.INVALID_CONFIG),
        ("nonsense://x", ErrorCode.INVALID_CONFIG),
        ("tcp://127.0.0.1:9", ErrorCode.CLUSTER_UNREACHABLE),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_one_sentence(tmp_path, address, code, monkeypatch):
    monkeypatch.setattr("mistudio_pipelines.dask_cluster._SECONDS_TO_CONNECT", 2)
    with pytest.raises(MistudioError) as caught, cluster_executor(address, DataStore(tmp_path)):
        pass
    assert caught.value.code == code
    assert caught.value.next_step


def wait_a_little(number: int) -> int:
    time.sleep(0.2)
    return number


def end_the_worker(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_on(cluster: Cluster, folder: Path, function, after_each=lambda: None, tasks: int = 60) -> MistudioError:
    """The error that ends some tasks."""
    with pytest.raises(MistudioError) as caught, cluster_executor(cluster.address, DataStore(folder)) as executor:
        run_tasks(
            executor,
            function,
            range(tasks),
            lambda _: after_each(),
            stop_file=folder / "stop",
            should_stop=lambda: False,
        )
    return caught.value


@pytest.fixture
def soon(monkeypatch):
    """Nobody waits for what does not come."""
    monkeypatch.setattr("mistudio_pipelines.sharding._SECONDS_TO_STOP", 1)
    monkeypatch.setattr("mistudio_pipelines.dask_cluster._SECONDS_TO_CONNECT", 2)
    monkeypatch.setattr("mistudio_pipelines.dask_cluster._SECONDS_WITHOUT_WORKERS", 4)
    monkeypatch.setattr("mistudio_pipelines.dask_cluster._SECONDS_BETWEEN_LOOKS", 0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_scheduler_that_is_lost_during_the_work_is_one_sentence(tmp_path, cluster):
    error = run_on(cluster, tmp_path, wait_a_little, cluster.scheduler.kill)
    assert error.code == ErrorCode.CLUSTER_UNREACHABLE
    assert "was lost during the work" in error.message


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_work_ends_with_one_sentence_where_no_worker_is_left(tmp_path, cluster):
    """Dask itself would wait for ever."""
    error = run_on(cluster, tmp_path, end_the_worker)
    assert error.code == ErrorCode.CLUSTER_UNREACHABLE
    assert "has no worker" in error.message


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_shard_that_ends_one_worker_after_another_is_one_sentence(tmp_path, cluster):
    replaced = start_workers(cluster.address, tmp_path / "cluster", 4)
    try:
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(6, timeout=60)
        error = run_on(cluster, tmp_path, end_the_worker, tasks=1)
    finally:
        end(replaced)
    assert error.code == ErrorCode.WORKER_LOST
    assert "ended one worker" in error.message
