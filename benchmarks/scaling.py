"""Shards on threads, processes and Dask: how ingestion and tokenization grow with workers, and what a shard costs.

The Dask workers are processes of one thread each, started here; all share the data folder. Speed is from the call to
the published result. `alone` is ingestion without an executor, as it runs by default. The overhead of a shard is what
each of 200 tasks that do nothing takes.

    python benchmarks/scaling.py [--megabytes 400] [--workers 1,2]

`MISTUDIO_BENCHMARK_DATA` names the folder that holds `corpus/*.parquet` and `tokenizers/gpt2` (default ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mixed_corpus import DATA, make_mixed_corpus

from mistudio_pipelines.dask_cluster import cluster_executor
from mistudio_pipelines.store.layout import DataStore

DATASET = "ds_local_mixed_abc234"
EMPTY_TASKS = 200


def nothing(number: int) -> int:
    """A task without work."""
    return number


@contextmanager
def dask_cluster(workers: int, folder: Path) -> Iterator[str]:
    """A scheduler and workers on this machine; yields the scheduler's address."""
    note = folder / f"scheduler-{workers}.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    options = ["--no-dashboard", "--host", "127.0.0.1"]
    dask = [sys.executable, "-m", "dask"]
    started = [subprocess.Popen([*dask, "scheduler", "--port", "0", *options, "--scheduler-file", str(note)], **quiet)]
    try:
        while not note.exists() or not note.read_text():
            time.sleep(0.1)
        address = json.loads(note.read_text())["address"]
        worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(folder), *options]
        started += [subprocess.Popen(worker, **quiet) for _ in range(workers)]
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


@contextmanager
def executor_of(kind: str, workers: int, store: DataStore) -> Iterator[Executor]:
    """An executor, warm: its workers have started and imported what they need."""
    if kind == "threads":
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    elif kind == "processes":
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(nothing, range(workers * 4)))
            yield pool
    else:
        with dask_cluster(workers, store.root) as address, cluster_executor(address, store) as executor:
            while len(executor._client.scheduler_info()["workers"]) < workers:
                time.sleep(0.1)
            yield executor


def overhead(executor: Executor) -> float:
    """Seconds that a task without work takes."""
    began = time.perf_counter()
    for future in [executor.submit(nothing, number) for number in range(EMPTY_TASKS)]:
        future.result()
    return (time.perf_counter() - began) / EMPTY_TASKS


def ingestion_seconds(store: DataStore, executor: Executor | None) -> float:
    """One whole ingestion."""
    from mistudio_pipelines.text.ingestion import ingest

    shutil.rmtree(store.index(DATASET), ignore_errors=True)
    began = time.perf_counter()
    ingest(store, DATASET, executor=executor)
    return time.perf_counter() - began


def tokenization_seconds(store: DataStore, executor: Executor) -> float:
    """One whole tokenization, the engines' proof made before."""
    from mistudio_pipelines.tokenization.tokenize import tokenize_dataset

    shutil.rmtree(store.tokenized(DATASET, "gpt2"), ignore_errors=True)
    began = time.perf_counter()
    tokenize_dataset(store, DATASET, "gpt2", executor=executor)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--workers", default="1,2")
    arguments = parser.parse_args()
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    from mistudio_pipelines.tokenization.presets import TokenizationPreset, save_preset

    with tempfile.TemporaryDirectory() as name:
        store = DataStore(Path(name))
        size = make_mixed_corpus(store, DATASET, arguments.megabytes) / 1e6
        tokenizer = str((DATA.parent / "tokenizers" / "gpt2").resolve())
        save_preset(store, TokenizationPreset(name="gpt2", tokenizer=tokenizer, context_size=1024))
        with ThreadPoolExecutor(1) as pool:
            tokenization_seconds(store, pool)
        print(f"{size:.0f} MB of text\n{'':22}{'ingestion MB/s':>16}{'tokenization MB/s':>19}{'overhead ms/shard':>19}")
        print(f"{'alone':22}{size / ingestion_seconds(store, None):16.1f}", flush=True)
        first: dict[str, tuple[float, float]] = {}
        for kind in ("threads", "processes", "dask"):
            for workers in map(int, arguments.workers.split(",")):
                with executor_of(kind, workers, store) as executor:
                    cost = overhead(executor) * 1000
                    speeds = size / ingestion_seconds(store, executor), size / tokenization_seconds(store, executor)
                base = first.setdefault(kind, speeds)
                ratios = f"  {speeds[0] / base[0]:.2f}× and {speeds[1] / base[1]:.2f}× of its first line"
                line = f"{kind + ', ' + str(workers) + ' worker(s)':22}{speeds[0]:16.1f}{speeds[1]:19.1f}{cost:19.2f}"
                print(line + ratios, flush=True)


if __name__ == "__main__":
    main()
