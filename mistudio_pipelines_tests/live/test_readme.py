"""The commands of the README's table, taken from it and run as they are written, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mistudio_pipelines_tests.defs.conftest import SAMPLE_TOKENIZER
from mistudio_pipelines_tests.live.stack import PROJECT, Stack, parquet_bytes

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

REPOSITORY = "someone/readme"
FILE = "data/train-00000-of-00001.parquet"
# What the README writes where a person puts something of their own.
_OWN = {"tokenizer": str(SAMPLE_TOKENIZER), "search": "words"}


@pytest.fixture(scope="module", autouse=True)
def repository(stack: Stack) -> None:
    stack.hub.add_repository(REPOSITORY, _texts(100))


def _commands(column: str) -> list[str]:
    """The commands of a column of the table, top to bottom."""
    rows = re.findall(r"^\| (.*) \|$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    table = [re.split(r"(?<!\\) ?\| ?", row) for row in rows]
    place = table[0].index(column)
    cells = [row[place].replace("\\|", "|") for row in table[1:]]
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell) if " " in code]


def _filled_in(command: str, dataset_id: str) -> str:
    command = re.sub(r"\bID\b", dataset_id, command.replace("REPO", REPOSITORY)).replace("NAME", "small")
    command = re.sub(r'"(tokenizer|search)": "…"', lambda found: f'"{found[1]}": "{_OWN[found[1]]}"', command)
    command = command.replace("--search …", "--search words").replace("--min-tokens …", "--min-tokens 1")
    command = re.sub(r"--tokenizer (…|A\b|B\b)", f"--tokenizer {SAMPLE_TOKENIZER}", command)
    assert "…" not in command
    return command


def _run(stack: Stack, command: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**stack.environment, "PATH": path}
    return subprocess.run(
        ["sh", "-c", command], env=environment, cwd=folder, capture_output=True, text=True, timeout=150, input="1\n"
    )


def _succeeds(stack: Stack, command: str) -> None:
    """Run a command; a run that it launched must succeed too."""
    before = {run.run_id for run in stack.instance.get_runs()}
    done = _run(stack, command)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    if " launch " in command:
        stack.wait(lambda: {run.run_id for run in stack.instance.get_runs()} - before, what=command)
        new = [run.run_id for run in stack.instance.get_runs() if run.run_id not in before]
        stack.wait(lambda: all(_run_of(stack, run_id).is_finished for run_id in new), what=command)
        assert all(_run_of(stack, run_id).is_success for run_id in new), f"{command}: {stack.describe()}"


def _run_of(stack: Stack, run_id: str) -> dg.DagsterRun:
    run = stack.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _texts(number: int) -> dict[str, bytes]:
    return {FILE: parquet_bytes([f"sample {place} with some words" for place in range(number)])}


@pytest.mark.slow  # each of the commands loads Dagster and the code anew
@pytest.mark.timeout(900)
def test_every_task_by_dagster_alone(stack: Stack) -> None:
    commands = _commands("`dagster`")
    assert [re.findall(r"-j (\w+)", one) for one in commands if "launch" in one] == [
        [job] for job in ("add_dataset", "observe_revisions", "download", "download", "ingest", "browse_samples",
                          "save_tokenization", "tokenize", "verify_files", "delete_datasets")
    ]  # fmt: skip
    _succeeds(stack, _filled_in(commands[0], ""))
    (dataset_id,) = stack.datasets()
    stack.wait_until([dataset_id])
    stack.hub.commit(REPOSITORY, _texts(120))
    for command in commands[1:-1]:
        _succeeds(stack, _filled_in(command, dataset_id))
    (in_process, with_dg) = re.findall(r"`(d\w+ [a-z ]+-[^`]+--partition ID)`", (PROJECT / "README.md").read_text())
    for command in (in_process, with_dg):
        _succeeds(stack, _filled_in(command, dataset_id).replace("dg launch", "dg  launch"))
    stack.wait_until([dataset_id])
    overview = stack.datasets()[dataset_id]
    assert overview.tokenizations == ("small",)
    assert stack.client.statistics(dataset_id)["num_samples"] == 120
    _succeeds(stack, _filled_in(commands[-1], dataset_id))
    assert stack.datasets() == {}


@pytest.mark.slow
def test_every_task_by_mistudio_alone(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "a text of words"}\n' * 20)
    adding, adding_local, *commands = _commands("`mistudio`")
    assert _run(stack, _filled_in(adding, "")).returncode == 0
    assert _run(stack, adding_local, tmp_path).returncode == 0
    dataset_id = next(one for one in stack.datasets() if one.startswith("ds_readme"))
    stack.wait_until(list(stack.datasets()))
    stack.hub.commit(REPOSITORY, _texts(130))
    refusals = {"mistudio retry": "is not in error"}
    seen = set()
    for command in commands:
        done = _run(stack, _filled_in(command, dataset_id))
        expected = next((text for start, text in refusals.items() if command.startswith(start)), None)
        assert (done.returncode == 0) == (expected is None), f"{command}\n{done.stdout}{done.stderr}"
        assert expected is None or expected in done.stderr
        seen.add(command.split()[1])
        if command.startswith("mistudio update"):
            stack.wait(lambda: not [run for run in stack.instance.get_runs() if not run.is_finished], what=command)
            stack.wait_until([dataset_id])
    assert {"update", "show", "samples", "tokens", "tokenize", "cancel", "storage", "delete"} <= seen
    assert dataset_id not in stack.datasets()
