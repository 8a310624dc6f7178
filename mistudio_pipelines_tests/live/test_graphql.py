"""Every task over GraphQL alone, through the client and its query files, against a running installation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mistudio_pipelines.client import MistudioClient
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.live.stack import PROJECT, Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300), pytest.mark.databases("postgresql")]

NAME = "someone/over-graphql"
FILE = "data/train-00000-of-00001.parquet"


def _texts(number: int) -> dict[str, bytes]:
    return {FILE: parquet_bytes([f"text {place} of a dragon" for place in range(number)])}


def _wait_for(stack: Stack, dataset_id: str, status: str) -> None:
    stack.wait(lambda: stack.client.dataset(dataset_id).status == status, what=f"{dataset_id} to be {status}")


def test_a_dataset_goes_its_whole_way_over_graphql(stack: Stack) -> None:
    client = stack.client
    stack.hub.add_repository(NAME, _texts(300))

    plan = client.plan(NAME)
    assert (plan["name"], plan["files"], client.datasets()) == (NAME, 1, [])
    with pytest.raises(MistudioError, match="someone/nothing") as refused:
        client.add("someone/nothing")
    assert refused.value.code == "repository_not_found"

    dataset_id = client.add(NAME)
    _wait_for(stack, dataset_id, "ready")
    assert client.records([dataset_id, "ds_other_abcdef"])[dataset_id]["num_samples"] == 300
    assert client.statistics(dataset_id)["num_tokens"] == 5 * 300
    found = client.samples(dataset_id, "dragon AND 7", page_size=1)
    assert (found["total"], found["samples"][0]["text"]) == (1, "text 7 of a dragon")
    with pytest.raises(MistudioError) as refused:
        client.samples(dataset_id, "dragon AND (")
    assert refused.value.code == "invalid_query"

    saved = client.save_tokenization("small", str(SAMPLE_TOKENIZER), context_size=16)
    assert (saved["name"], client.tokenizations()) == ("small", ["small"])
    client.wait(client.tokenize(dataset_id, "small"))
    assert client.dataset(dataset_id).tokenizations == ("small",)

    stack.hub.commit(NAME, _texts(400))
    client.wait(client.update(dataset_id))
    stack.wait(lambda: client.statistics(dataset_id)["num_samples"] == 400, what="the new statistics")
    _wait_for(stack, dataset_id, "ready")

    plan = client.delete([dataset_id], dry_run=True)
    assert (plan["datasets"][0]["dataset_id"], plan["bytes"] > 0) == (dataset_id, True)
    assert client.delete([dataset_id])["bytes_freed"] > 0
    assert client.datasets() == []
    with pytest.raises(MistudioError) as refused:
        client.dataset(dataset_id)
    assert refused.value.code == "unknown_dataset"


@pytest.mark.slow
def test_downloads_are_followed_cancelled_and_continued_over_graphql(stack: Stack, tmp_path: Path) -> None:
    client = stack.client
    stack.hub.add_repository("someone/slow", _texts(60_000))
    stack.hub.faults.slow("*slow*parquet", 20_000)
    dataset_id = client.add("someone/slow")
    stack.wait(lambda: "%" in (client.dataset(dataset_id).progress or ""), what="progress")
    state = client.dataset(dataset_id)
    assert state.status == "downloading"
    assert state.run_id is not None
    assert "mistudio/progress" in client.run_state(state.run_id).tags
    with pytest.raises(MistudioError, match="not in error"):
        client.retry(dataset_id)

    # Another waits for it; when its turn comes, its file is gone.
    source = tmp_path / "local.txt"
    source.write_text("a text\n")
    waiting = client.add(paths=[str(source)])
    source.rename(tmp_path / "elsewhere.txt")
    assert client.dataset(waiting).status == "downloading"

    assert client.cancel_dataset(dataset_id) == [state.run_id]
    _wait_for(stack, dataset_id, "error")
    _wait_for(stack, waiting, "error")
    failed = client.dataset(waiting)
    assert (failed.error_code, "local.txt" in (failed.error or "")) == ("path_not_found", True)
    (tmp_path / "elsewhere.txt").rename(source)
    client.wait(client.retry(waiting))
    cancelled = client.dataset(dataset_id)
    assert (cancelled.error_code, cancelled.stage, cancelled.run_id) == ("cancelled", "download", state.run_id)
    stack.hub.faults.clear()
    again = client.retry_run(state.run_id)
    client.wait(again)
    _wait_for(stack, dataset_id, "ready")
    assert stack.hub.bytes_served("*slow*parquet") < 1.5 * len(_texts(60_000)[FILE]) + 1_000_000
    _wait_for(stack, waiting, "ready")
    assert client.cancel_dataset(dataset_id) == []


def test_the_example_without_the_package_runs_as_it_is_written(stack: Stack) -> None:
    stack.hub.add_repository("someone/example", _texts(10))
    MistudioClient(stack.services.url).add("someone/example")
    (example,) = re.findall(r"```sh\n(.*?)```", (PROJECT / "docs" / "graphql.md").read_text(), re.DOTALL)
    environment = {**stack.environment, "DAGSTER_URL": stack.services.url}
    done = subprocess.run(["sh", "-c", example], env=environment, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ds_example_" in done.stdout


def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(MistudioError) as error:
        MistudioClient("http://127.0.0.1:9").datasets()
    assert error.value.code == "server_unreachable"
