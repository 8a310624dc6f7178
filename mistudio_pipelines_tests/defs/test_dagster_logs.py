"""Dagster's own messages as JSON, as docs/logs.md says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mistudio_pipelines.defs.instance import open_instance
from mistudio_pipelines.logs import LOG_VARIABLE
from mistudio_pipelines_tests.defs.conftest import Workshop

LOGS = Path(__file__).parents[2] / "docs" / "logs.md"


def test_the_example_makes_dagsters_messages_lines_of_json(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", LOGS.read_text(), re.DOTALL)
    home = workshop.folder.parent / "home"
    with (home / "dagster.yaml").open("a") as file:
        file.write("\n" + example)
    path = workshop.folder / "mistudio.jsonl"
    monkeypatch.setenv(LOG_VARIABLE, str(path))
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one", "two"]))

    with open_instance(home) as instance:
        run = workshop.definitions.resolve_job_def("download").execute_in_process(
            instance=instance, partition_key=dataset_id
        )

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    (ended,) = (line for line in lines if line["event"] == "operation_ended")
    assert (ended["operation"], ended["dataset_id"], ended["run_id"]) == ("download", dataset_id, run.run_id)
    messages = [line for line in lines if line["event"] == "message" and line.get("run_id") == run.run_id]
    assert any("download took" in line["message"] for line in messages)
    assert {line["job_name"] for line in messages} == {"download"}
