"""Structured logs: one JSON object a line, where it was chosen, whatever the texts are."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mistudio_pipelines.logs import LOG_VARIABLE, JsonHandler, log_event


def test_a_line_goes_to_the_chosen_file_with_its_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logs" / "mistudio.jsonl"
    monkeypatch.setenv(LOG_VARIABLE, str(path))
    log_event("operation_ended", operation="download", dataset_id="ds_a_abcdef", seconds=1.5, bytes=3, run_id=None)
    log_event("odd", level="error", name="line\nbreak \x1b[31m \u2028 \ud800")
    first, second = map(json.loads, path.read_bytes().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "event": "operation_ended",
        "operation": "download",
        "dataset_id": "ds_a_abcdef",
        "seconds": 1.5,
        "bytes": 3,
    }
    assert (second["level"], second["name"]) == ("error", "line\nbreak \x1b[31m \u2028 \ud800")
    assert path.stat().st_mode & 0o777 == 0o640


def test_lines_go_to_the_console_by_default_and_where_the_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    log_event("one")
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path))
    log_event("two")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["one", "two"]


def test_messages_of_dagster_and_others_are_lines_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.jsonl"
    monkeypatch.setenv(LOG_VARIABLE, str(path))
    record = logging.LogRecord("dagster", logging.WARNING, "", 1, "%s ended", ("It",), None)
    record.dagster_meta = {"run_id": "r1", "job_name": "download", "step_key": None}
    JsonHandler().emit(record)
    line = json.loads(path.read_text())
    line.pop("time")
    expected = {"level": "warning", "event": "message", "message": "It ended", "logger": "dagster"}
    assert line == expected | {"run_id": "r1", "job_name": "download"}
