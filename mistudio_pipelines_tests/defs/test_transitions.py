"""Changes of status are noted once, and never shown as the status."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from mistudio_pipelines.defs.history import RAW
from mistudio_pipelines.defs.status import list_datasets
from mistudio_pipelines.defs.transitions import TransitionLog, read_last_labels
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines_tests.defs.conftest import Workshop


def _note(workshop: Workshop, log: TransitionLog) -> list[tuple[str | None, str]]:
    changes = log.note(workshop.instance, workshop.store, list_datasets(workshop.instance, workshop.store))
    return [(before, now) for _, before, now in changes]


def test_every_change_is_noted_once_also_across_a_restart(workshop: Workshop) -> None:
    log = TransitionLog()
    path = workshop.write_texts("texts.jsonl", ["one"])
    dataset_id = workshop.add(path)
    assert _note(workshop, log) == [(None, "downloading")]
    assert _note(workshop, log) == []
    content = path.read_bytes()
    path.unlink()
    workshop.run("download", dataset_id)
    ((before, now),) = _note(workshop, log)
    assert before == "downloading"
    assert now.startswith("error: ")
    assert _note(workshop, TransitionLog()) == []
    path.write_bytes(content)
    workshop.run("download", dataset_id)
    assert _note(workshop, TransitionLog()) == [(now, "ingesting")]

    lines = [json.loads(line) for line in workshop.store.audit.read_text().splitlines()]
    noted = [line for line in lines if line["event"] == "status_changed"]
    assert [line["now"] for line in noted] == ["downloading", now, "ingesting"]
    assert all(line["time"] and line["dataset_id"] == dataset_id for line in noted)
    assert "texts.jsonl" in noted[1]["error"]
    events = workshop.instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=RAW, asset_partitions=[dataset_id]), limit=10
    ).records
    described = [record.asset_observation.description for record in events if record.asset_observation]
    assert [one for one in described if one] == ["Status: ingesting", f"Status: {now}", "Status: downloading"]


def test_a_damaged_audit_trail_is_read_as_far_as_it_goes(tmp_path) -> None:
    store = DataStore(tmp_path)
    store.metadata_root.mkdir(parents=True)
    line = json.dumps({"event": "status_changed", "dataset_id": "ds_a_abcdef", "now": "ready"})
    store.audit.write_bytes(b"\xff\xfe\n[]\n3\n" + line.encode() + b"\n" + line[:20].encode())
    assert read_last_labels(store) == {"ds_a_abcdef": "ready"}


def test_a_full_disk_does_not_keep_the_sensor_from_its_work(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    monkeypatch.setattr("mistudio_pipelines.defs.transitions.write_audit", full)
    assert _note(workshop, TransitionLog()) == [(None, "downloading")]
