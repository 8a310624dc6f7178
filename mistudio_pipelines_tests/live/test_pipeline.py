"""The whole pipeline with live processes: one dataset, then ten at once, launched in every way there is."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys

import pytest

from mistudio_pipelines.defs.retrying import dataset_run
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines_tests.live.stack import PROJECT, Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def _add_repository(stack: Stack, name: str, samples: int = 300) -> None:
    texts = [f"{name} sample {number} " + "some words to read " * 20 for number in range(samples)]
    stack.hub.add_repository(
        name,
        {
            "data/train-00000-of-00001.parquet": parquet_bytes(texts),
            "data/test-00000-of-00001.parquet": parquet_bytes(texts[:20]),
            "README.md": b"---\nlicense: mit\n---\n# Texts\n",
        },
    )


def test_a_dataset_from_the_hub_goes_to_ready_by_itself(stack: Stack) -> None:
    _add_repository(stack, "someone/first-texts")
    dataset_id = stack.add("someone/first-texts")
    stack.wait_until([dataset_id])

    shown = json.loads(stack.mistudio("show", dataset_id, "--json"))
    assert shown["status"] == "ready"
    assert shown["license"] == "mit"
    assert {split: one["samples"] for split, one in shown["statistics"]["splits"].items()} == {"train": 300, "test": 20}
    assert stack.store.index(dataset_id).is_dir()
    assert dataset_id in stack.mistudio("list", "--status", "ready")


def test_the_same_dataset_is_not_added_twice(stack: Stack) -> None:
    done = stack.run("add", "someone/first-texts")
    assert done.returncode == 1
    assert "already holds" in done.stderr
    assert len(stack.datasets()) == 1


def test_a_dataset_is_added_over_graphql(stack: Stack) -> None:
    _add_repository(stack, "someone/over-graphql")
    config = {"ops": {"validate_and_register": {"config": {"repository": "someone/over-graphql", "splits": ["test"]}}}}
    run_id = stack.client.launch("add_dataset", run_config=config)
    state = stack.wait(lambda: (run := stack.client.run_state(run_id)).is_finished and run, what="the run")
    assert state.status == "SUCCESS", stack.describe()
    dataset_id = state.tags["mistudio/dataset_id"]
    stack.wait_until([dataset_id])
    assert stack.datasets()[dataset_id].record.splits == ("test",)


def test_bad_input_over_graphql_is_one_sentence_and_leaves_nothing(stack: Stack) -> None:
    before = set(stack.datasets())
    config = {"ops": {"validate_and_register": {"config": {"repository": "someone/is-not-there"}}}}
    run_id = stack.client.launch("add_dataset", run_config=config)
    state = stack.wait(lambda: (run := stack.client.run_state(run_id)).is_finished and run, what="the run")
    assert state.status == "FAILURE"
    assert state.tags["mistudio/error_code"] == "repository_not_found"
    assert "someone/is-not-there" in state.tags["mistudio/error"]
    assert set(stack.datasets()) == before


def test_an_unregistered_partition_key_is_refused_and_nothing_is_made(stack: Stack) -> None:
    request = dataset_run("download", "ds_never_added_abcdef")
    run_id = stack.client.launch(request.job, tags=request.tags)
    state = stack.wait(lambda: (run := stack.client.run_state(run_id)).is_finished and run, what="the run")
    assert state.status == "FAILURE"
    assert state.tags["mistudio/error_code"] == "partition_not_registered"
    assert not stack.store.raw("ds_never_added_abcdef").exists()


def test_an_unknown_job_is_one_sentence(stack: Stack) -> None:
    with pytest.raises(MistudioError, match="Dagster refused"):
        stack.client.launch("no_such_job")


@pytest.mark.parametrize("count", [5, pytest.param(10, marks=pytest.mark.slow)])
def test_many_downloads_run_one_at_a_time_and_each_leads_to_one_ingestion_across_a_daemon_restart(
    stack: Stack, count: int
) -> None:
    done_before = set(stack.datasets())
    for number in range(count):
        _add_repository(stack, f"someone/many-{count}-{number}", samples=3000)
    stack.hub.faults.slow(f"*many-{count}-*parquet", 1_500_000)
    added = stack.add_all([f"someone/many-{count}-{number}" for number in range(count)])

    # Three of them are started by hand as well, in the ways that a person has.
    processes = [_materialize_in_process(stack, added[-3]), _launch_with_dagster(stack, added[-2])]
    request = dataset_run("download", added[-1])
    stack.client.launch(request.job, tags=request.tags)

    stack.wait(lambda: len(stack.runs("ingest")) > len(done_before), what="the first ingestion")
    daemon = next(one for one in stack.services._services if one.name == "daemon")
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    stack.services.watch()

    stack.wait_until(added, seconds=200)
    for process in processes:
        assert process.wait(timeout=60) == 0, process.stdout.read() if process.stdout else ""
    stack.wait(lambda: all(run.is_finished for run in stack.runs("download")), what="the downloads")
    downloads = stack.step_times("raw")
    assert len(downloads) >= count + 2
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(downloads)), downloads
    ingestions = stack.step_times("statistics_and_index")
    assert any(
        ingestion[0] < download[1] and download[0] < ingestion[1] for ingestion in ingestions for download in downloads
    ), "no ingestion ran beside a download"
    for dataset_id in added[:-3]:
        assert len(stack.runs("ingest", dataset_id)) == 1, dataset_id


def _materialize_in_process(stack: Stack, dataset_id: str) -> subprocess.Popen[str]:
    return _dagster(stack, "asset", "materialize", "-m", "mistudio_pipelines.definitions", "--select", "raw",
                    "--partition", dataset_id)  # fmt: skip


def _launch_with_dagster(stack: Stack, dataset_id: str) -> subprocess.Popen[str]:
    tags = json.dumps(dict(dataset_run("download", dataset_id).tags))
    return _dagster(stack, "job", "launch", "-w", "workspace.yaml", "-j", "download", "--tags", tags)


def _dagster(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *arguments],
        env=dict(stack.environment),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
