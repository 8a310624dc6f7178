"""Nothing in Dagster's own database or beside it speaks of a dataset that was deleted."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import dagster as dg

from mistudio_pipelines.defs.deletion import delete, plan_deletion
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.status import list_datasets
from mistudio_pipelines.defs.trainings import TRAINING
from mistudio_pipelines.defs.transitions import TransitionLog
from mistudio_pipelines_tests.defs.conftest import Workshop

# In a process of its own: closing a database's file in a process that has it open would break SQLite's locks.
_MENTIONS = """
import json, sqlite3, sys
from pathlib import Path
found = []
for path in sorted(Path(sys.argv[1]).rglob("*")):
    if path.is_dir():
        continue
    if path.suffix == ".db":
        for line in sqlite3.connect(path).iterdump():
            if sys.argv[2] in line:
                found.append(f"{path.name}: {line[:300]}")
    elif path.suffix not in (".db-wal", ".db-shm") and sys.argv[2].encode() in path.read_bytes():
        found.append(str(path))
print(json.dumps(found))
"""


def _mentions(workshop: Workshop, text: str) -> list[str]:
    command = [sys.executable, "-c", _MENTIONS, str(workshop.folder.parent / "home"), text]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def _ready(workshop: Workshop, name: str, preset: str) -> str:
    dataset_id = workshop.add(workshop.write_texts(f"{name}.jsonl", [f"{name} text number {i}" for i in range(20)]))
    note = TransitionLog()
    for job, key in (("download", dataset_id), ("ingest", dataset_id), ("tokenize", pair_key(dataset_id, preset))):
        assert workshop.run(job, key).success
        note.note(workshop.instance, workshop.store, list_datasets(workshop.instance, workshop.store))
    assert workshop.run("browse_samples", run_config=_browse(dataset_id)).success
    return dataset_id


def _browse(dataset_id: str) -> dict[str, object]:
    return {"ops": {"browse": {"config": {"dataset_id": dataset_id, "search": "number"}}}}


def _look_at_all_revisions(workshop: Workshop, dataset_ids: list[str]) -> None:
    """As the daily schedule does: one run over all datasets."""
    tags = {
        "dagster/asset_partition_range_start": dataset_ids[0],
        "dagster/asset_partition_range_end": dataset_ids[-1],
    }
    assert workshop.run("observe_revisions", tags=tags).success


def _tick(workshop: Workshop, dataset_id: str) -> None:
    """What the daemon keeps of a look of the sensor that requested a run."""
    from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

    data = TickData(
        "origin", "advance_datasets", InstigatorType.SENSOR, TickStatus.STARTED, time.time(), selector_id="s"
    )
    tick = workshop.instance.create_tick(data).with_run_info(run_id="r", run_key=f"download/{dataset_id}")
    workshop.instance.update_tick(tick.with_status(TickStatus.SUCCESS))


def _report_training(workshop: Workshop, dataset_id: str) -> None:
    metadata = {"dataset_id": dataset_id, "status": "done"}
    workshop.instance.report_runless_asset_event(dg.AssetObservation(TRAINING, partition="sae", metadata=metadata))


def _latest(workshop: Workshop, asset: str) -> str | None:
    event = workshop.instance.get_latest_materialization_event(dg.AssetKey(asset))
    return event.asset_materialization.partition if event is not None and event.asset_materialization else None


def test_dagster_remembers_nothing_of_a_deleted_dataset_and_everything_of_the_others(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    other, gone = _ready(workshop, "other", preset), _ready(workshop, "gone", preset)
    last = workshop.add(workshop.write_texts("last.jsonl", ["one"]))
    _look_at_all_revisions(workshop, [other, gone, last])
    for dataset_id in (other, gone):
        _tick(workshop, dataset_id)
        _report_training(workshop, dataset_id)
    assert _latest(workshop, "raw") == gone
    before = _mentions(workshop, other)
    shards = {path.name for path in (workshop.folder.parent / "home").rglob("*.db")}
    seen = list_datasets(workshop.instance, workshop.store)

    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, gone))
    # A sensor that looked before and notes what it saw only now.
    TransitionLog().note(workshop.instance, workshop.store, seen)

    assert _mentions(workshop, gone) == []
    assert _mentions(workshop, "gone text number") == []
    assert len(shards - {path.name for path in (workshop.folder.parent / "home").rglob("*.db")}) == 4
    assert [_latest(workshop, asset) for asset in ("raw", "statistics", "sample_index")] == [other] * 3
    assert _latest(workshop, "tokenized") == pair_key(other, preset)
    assert set(before) <= set(_mentions(workshop, other))
    overviews = {one.record.id: one.status.status for one in list_datasets(workshop.instance, workshop.store)}
    assert overviews == {other: "ready", last: "downloading"}


def test_deleting_one_tokenization_forgets_it_and_nothing_else(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    dataset_id = _ready(workshop, "texts", preset)
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id, preset)
    delete(workshop.instance, workshop.store, plan)
    assert _mentions(workshop, pair_key(dataset_id, preset)) == []
    assert _latest(workshop, "tokenized") is None
    assert _latest(workshop, "raw") == dataset_id
    (overview,) = list_datasets(workshop.instance, workshop.store)
    assert (overview.status.status, overview.tokenizations) == ("ready", ())


def test_a_dataset_whose_id_contains_the_other_loses_no_event(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    resembling = [f"{dataset_id}_abcdef", f"{dataset_id.replace('_', '-')}", "ds_x"]
    for key in (dataset_id, *resembling):
        workshop.instance.add_dynamic_partitions("datasets", [key])
        workshop.instance.report_runless_asset_event(
            dg.AssetObservation("raw", partition=key, description=f"Status of {key} and {dataset_id}")
        )
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))
    records = workshop.instance.fetch_observations(dg.AssetKey("raw"), limit=10).records
    assert sorted(str(record.partition_key) for record in records) == sorted(resembling)
