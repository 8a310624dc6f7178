"""The examples of docs/trainings.md, run as they are written, against a real webserver."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mistudio_pipelines.defs.trainings import active_trainings
from mistudio_pipelines_tests.live.stack import PROJECT, Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def _examples(language: str) -> list[str]:
    text = (PROJECT / "docs" / "trainings.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _run(stack: Stack, dataset_id: str, *command: str) -> None:
    environment = {**stack.environment, "DAGSTER_URL": stack.services.url, "DATASET_ID": dataset_id}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_keep_a_dataset_from_being_deleted_while_they_say_so(stack: Stack) -> None:
    stack.hub.add_repository("someone/used", {"data/train-00000-of-00001.parquet": parquet_bytes(["one", "two"])})
    dataset_id = stack.add("someone/used")
    stack.wait_until([dataset_id])
    begin, end = _examples("sh")

    _run(stack, dataset_id, "sh", "-c", begin)
    refused = stack.run("delete", dataset_id, "--yes")
    assert refused.returncode == 1
    assert "training sae-layer-8" in refused.stderr
    assert "training sae-layer-8" in stack.mistudio("show", dataset_id)
    _run(stack, dataset_id, "sh", "-c", end)
    assert active_trainings(stack.instance) == []

    (example,) = _examples("python")
    # While the block runs, the training counts; the example's own end takes it back.
    process = subprocess.Popen(
        [sys.executable, "-c", example.replace('print("training ...")', "input()")],
        env={**stack.environment, "DAGSTER_URL": stack.services.url, "DATASET_ID": dataset_id},
        stdin=subprocess.PIPE,
    )
    stack.wait(lambda: active_trainings(stack.instance), what="the report")
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert active_trainings(stack.instance) == []
    _run(stack, dataset_id, sys.executable, "-c", example)
    assert active_trainings(stack.instance) == []
    assert "used by" not in stack.mistudio("show", dataset_id)
    stack.mistudio("delete", dataset_id, "--yes")
    assert dataset_id not in stack.datasets()
