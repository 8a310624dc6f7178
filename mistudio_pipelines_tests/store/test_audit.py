"""The audit trail: one line an event, from any number of processes, readable after a crash."""

from __future__ import annotations

import json
import subprocess
import sys

from mistudio_pipelines.store.audit import read_audit, write_audit
from mistudio_pipelines.store.layout import DataStore

WRITER = """
import sys
from pathlib import Path
from mistudio_pipelines.store.audit import read_audit, write_audit
for number in range(100):
    write_audit(DataStore(Path(sys.argv[1])), "tested", "ds_x", number=number, filling="ä" * 3000, writer=sys.argv[2])
""".replace("from pathlib", "from mistudio_pipelines.store.layout import DataStore\nfrom pathlib", 1)


def read(store):
    return [json.loads(line) for line in store.audit.read_text().splitlines()]


def test_lines_of_several_processes_do_not_mix(tmp_path):
    store = DataStore(tmp_path)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = read(store)
    for writer in "012":
        assert [line["number"] for line in lines if line["writer"] == writer] == list(range(100))
    assert {line["dataset_id"] for line in lines} == {"ds_x"}


def test_a_line_cut_short_by_a_power_loss_does_not_swallow_the_next(tmp_path):
    store = DataStore(tmp_path)
    write_audit(store, "first", "ds_x", path=tmp_path)
    with store.audit.open("a") as file:
        file.write('{"time": "20')
    write_audit(store, "second")
    first, torn, second = store.audit.read_text().splitlines()
    assert json.loads(first)["event"] == "first"
    assert torn == '{"time": "20'
    assert json.loads(second) == {**json.loads(second), "event": "second", "dataset_id": None}


def test_line_ends_inside_values_stay_inside(tmp_path):
    store = DataStore(tmp_path)
    write_audit(store, "failed", "ds_x", error="one\ntwo\r\u2028three")
    assert len(store.audit.read_bytes().split(b"\n")) == 2
    assert read_one(store)["error"] == "one\ntwo\r\u2028three"


def read_one(store):
    (line,) = store.audit.read_bytes().strip().split(b"\n")
    return json.loads(line)


def test_what_happened_to_one_dataset_is_read_back_without_lines_that_were_cut_short(tmp_path):
    store = DataStore(tmp_path)
    assert read_audit(store, "ds_x") == []
    write_audit(store, "dataset_added", "ds_x", revision="r")
    write_audit(store, "dataset_added", "ds_xy", note="not ds_x")
    with store.audit.open("a") as file:
        file.write('{"dataset_id": "ds_x", "ti\n')
    write_audit(store, "status_changed", "ds_x", now="ready")
    assert [(one["event"], one.get("now")) for one in read_audit(store, "ds_x")] == [
        ("dataset_added", None),
        ("status_changed", "ready"),
    ]
