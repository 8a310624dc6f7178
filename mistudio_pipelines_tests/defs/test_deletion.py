"""Deleting a dataset everywhere, on a real instance."""

from __future__ import annotations

import json
import threading

import dagster as dg
import pytest

from mistudio_pipelines.defs.deletion import delete, plan_deletion, runs_of_dataset
from mistudio_pipelines.defs.history import read_history
from mistudio_pipelines.defs.names import DATASET_TAG, USES_DATASET_TAG
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.status import list_datasets
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.locks import INDEX_PART, dataset_lock
from mistudio_pipelines.store.space import folder_bytes
from mistudio_pipelines_tests.defs.conftest import Workshop


def _ready(workshop: Workshop, name: str = "texts.jsonl") -> str:
    dataset_id = workshop.add(workshop.write_texts(name, [f"{name} text number {i}" for i in range(50)]))
    assert workshop.run("download", dataset_id).success
    assert workshop.run("ingest", dataset_id).success
    return dataset_id


def _started_run(workshop: Workshop, tag: str, dataset_id: str) -> dg.DagsterRun:
    """A run of a job `train_sae` that does not end by itself."""

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def train_sae() -> None:
        nothing()

    started = dg.DagsterRunStatus.STARTED
    return workshop.instance.create_run_for_job(train_sae, tags={tag: dataset_id}, status=started)


def _files_of(workshop: Workshop, dataset_id: str) -> list[str]:
    return [str(path) for path in workshop.store.root.rglob("*") if dataset_id in str(path)]


def test_nothing_is_left_of_a_deleted_dataset_but_its_audit_lines(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    dataset_id, other = _ready(workshop), _ready(workshop, "other.jsonl")
    assert workshop.run("tokenize", pair_key(dataset_id, preset)).success
    before = folder_bytes(workshop.store.root / "datasets")
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
    assert set(plan.stored.tokenized) == {preset}

    freed = delete(workshop.instance, workshop.store, plan)

    assert freed == plan.bytes
    assert freed <= before - folder_bytes(workshop.store.root / "datasets") + 4096
    assert _files_of(workshop, dataset_id) == []
    assert runs_of_dataset(workshop.instance, dataset_id) == []
    history = read_history(workshop.instance)
    assert history.dataset_ids == (other,)
    assert set(history.raw.results) == set(history.statistics.results) == {other}
    assert history.tokenized.results == {}
    (overview,) = list_datasets(workshop.instance, workshop.store)
    assert (overview.record.id, overview.status.status) == (other, "ready")
    events = [json.loads(line) for line in workshop.store.audit.read_text().splitlines()]
    assert [one["event"] for one in events if one["dataset_id"] == dataset_id] == [
        "dataset_added",
        "deletion_began",
        "dataset_deleted",
    ]


def test_the_same_files_can_be_added_again_at_once_under_a_new_id(workshop: Workshop) -> None:
    path = workshop.write_texts("texts.jsonl", ["one", "two"])
    first = workshop.add(path)
    with pytest.raises(MistudioError, match=first):
        workshop.add(path)
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, first))
    assert workshop.add(path) != first


def test_one_tokenization_is_deleted_alone(workshop: Workshop) -> None:
    small, large = workshop.save_preset("small", 16), workshop.save_preset("large", 32)
    dataset_id = _ready(workshop)
    for preset in (small, large):
        assert workshop.run("tokenize", pair_key(dataset_id, preset)).success
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id, small)
    assert delete(workshop.instance, workshop.store, plan) > 0
    assert not workshop.store.tokenized(dataset_id, small).exists()
    (overview,) = list_datasets(workshop.instance, workshop.store)
    assert (overview.status.status, overview.tokenizations) == ("ready", (large,))


def test_a_dataset_in_use_is_refused_and_the_user_is_named(workshop: Workshop) -> None:
    dataset_id = _ready(workshop)
    run = _started_run(workshop, USES_DATASET_TAG, dataset_id)
    with pytest.raises(MistudioError, match="train_sae") as caught:
        delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))
    assert caught.value.code == "in_use"
    assert workshop.store.raw(dataset_id).exists()
    workshop.instance.report_run_failed(run)
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))


def test_a_run_that_has_made_everything_and_only_ends_does_not_refuse_the_deletion(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits until a dataset is ready may delete it, though Dagster takes a moment to end the run."""
    dataset_id = _ready(workshop)
    run = _started_run(workshop, DATASET_TAG, dataset_id)
    soon = threading.Timer(0.5, workshop.instance.report_run_failed, [run])
    soon.start()
    assert plan_deletion(workshop.instance, workshop.store, dataset_id).active_runs == ()
    soon.join()

    monkeypatch.setattr("mistudio_pipelines.defs.deletion._SECONDS_TO_SAY_GOODBYE", 0.3)
    staying = _started_run(workshop, DATASET_TAG, dataset_id)
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
    assert plan.active_runs == (staying.run_id,)
    with pytest.raises(MistudioError, match="being worked on"):
        delete(workshop.instance, workshop.store, plan)


def test_a_writer_that_does_not_end_keeps_every_file(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mistudio_pipelines.store.deletion._SECONDS_TO_WAIT_FOR_WRITERS", 0.2)
    dataset_id = _ready(workshop)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with dataset_lock(workshop.store, dataset_id, INDEX_PART, "being ingested"):
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
        with pytest.raises(MistudioError, match="being ingested") as caught:
            delete(workshop.instance, workshop.store, plan)
        assert caught.value.code == "busy"
        assert workshop.store.raw(dataset_id).exists()
    finally:
        done.set()
        holder.join()
    # What was begun is finished by the next attempt.
    assert list_datasets(workshop.instance, workshop.store)[0].status.status == "deleting"
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))
    assert list_datasets(workshop.instance, workshop.store) == []


def test_deleting_works_when_files_are_missing_already(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
    assert delete(workshop.instance, workshop.store, plan) == 0
    assert list_datasets(workshop.instance, workshop.store) == []


def test_the_job_deletes_only_what_is_repeated_under_confirm(workshop: Workshop) -> None:
    dataset_id = _ready(workshop)

    def config(confirm: list[str]) -> dict[str, object]:
        return {"ops": {"delete": {"config": {"dataset_ids": [dataset_id], "confirm": confirm}}}}

    assert workshop.run("delete_datasets", run_config=config([])).success
    assert workshop.store.raw(dataset_id).exists()
    assert not workshop.run("delete_datasets", run_config=config(["ds_other_abcdef"])).success
    assert workshop.store.raw(dataset_id).exists()
    assert workshop.run("delete_datasets", run_config=config([dataset_id])).success
    assert not workshop.store.raw(dataset_id).exists()
