"""A deletion that is cut short at any step is shown as such, and finished by the next attempt or by the sensor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mistudio_pipelines.defs import deletion as deletion_module
from mistudio_pipelines.defs.deletion import delete, plan_deletion, runs_of_dataset
from mistudio_pipelines.defs.history import read_history
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.defs.sensors import advance_datasets
from mistudio_pipelines.defs.status import list_datasets, show_dataset
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store import deletion as store_deletion
from mistudio_pipelines.store.locks import DELETION_PART, dataset_lock
from mistudio_pipelines.store.orphans import find_orphans
from mistudio_pipelines_tests.defs.conftest import Workshop


class PowerLoss(BaseException):
    """The process is gone at this moment; nothing in the code under test may catch it."""


def _downloaded(workshop: Workshop, name: str = "texts.jsonl") -> str:
    dataset_id = workshop.add(workshop.write_texts(name, [f"{name} text number {i}" for i in range(50)]))
    assert workshop.run("download", dataset_id).success
    return dataset_id


def _requests(workshop: Workshop) -> list[dg.RunRequest]:
    context = dg.build_sensor_context(
        instance=workshop.instance,
        repository_def=workshop.definitions.get_repository_def(),
        resources={"data_store": DataStoreResource(data_folder=str(workshop.store.root))},
    )
    return [one for one in advance_datasets(context) if isinstance(one, dg.RunRequest)]  # type: ignore[union-attr]


def _let_the_sensor_finish(workshop: Workshop) -> None:
    (request,) = _requests(workshop)
    assert request.job_name == "delete_datasets"
    assert workshop.run("delete_datasets", run_config=request.run_config, tags=request.tags).success


def _before(function: Callable[..., Any]) -> Callable[..., Any]:
    def cut(*_: object, **__: object) -> None:
        raise PowerLoss(function.__name__)

    return cut


def _after(function: Callable[..., Any]) -> Callable[..., Any]:
    def cut(*arguments: object, **options: object) -> None:
        function(*arguments, **options)
        raise PowerLoss(function.__name__)

    return cut


STEPS = [
    (deletion_module, "mark_deleting", _after),
    (deletion_module, "_cancel", _after),
    (store_deletion, "_trash", _after),
    (store_deletion, "empty_trash", _before),
    (deletion_module, "remove_files", _after),
    (deletion_module, "forget_runs", _after),
    (deletion_module, "forget_partition", _before),
    (deletion_module, "forget", _before),
]


def test_a_deletion_cut_short_at_any_step_is_finished_by_the_sensor(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps on one instance: making one takes longest."""
    other = _downloaded(workshop, "other.jsonl")
    assert workshop.run("ingest", other).success
    for module, name, moment in STEPS:
        dataset_id = _downloaded(workshop, f"{name}.jsonl")
        plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
        with monkeypatch.context() as patched:
            patched.setattr(module, name, moment(getattr(module, name)))
            with pytest.raises(PowerLoss):
                delete(workshop.instance, workshop.store, plan)

        assert show_dataset(workshop.instance, workshop.store, dataset_id).status.status == "deleting", name
        _let_the_sensor_finish(workshop)
        assert [one.record.id for one in list_datasets(workshop.instance, workshop.store)] == [other], name
        assert runs_of_dataset(workshop.instance, dataset_id) == []
        assert read_history(workshop.instance).dataset_ids == (other,)
        assert [path for path in workshop.store.root.rglob(f"*{dataset_id}*")] == [], name
        assert find_orphans(workshop.store) == [], name
    assert show_dataset(workshop.instance, workshop.store, other).status.status == "ready"
    assert _requests(workshop) == []


def test_a_deletion_of_one_tokenization_cut_short_is_finished_by_the_sensor(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = workshop.save_preset()
    dataset_id = _downloaded(workshop)
    assert workshop.run("ingest", dataset_id).success
    assert workshop.run("tokenize", pair_key(dataset_id, preset)).success
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id, preset)
    with monkeypatch.context() as patched:
        patched.setattr(deletion_module, "forget_runs", _before(deletion_module.forget_runs))
        with pytest.raises(PowerLoss):
            delete(workshop.instance, workshop.store, plan)
    assert show_dataset(workshop.instance, workshop.store, dataset_id).tokenizations == ()
    _let_the_sensor_finish(workshop)
    overview = show_dataset(workshop.instance, workshop.store, dataset_id)
    assert (overview.status.status, overview.tokenizations) == ("ready", ())
    assert read_history(workshop.instance).tokenized.results == {}
    assert _requests(workshop) == []
    # And it can be made again.
    assert workshop.run("tokenize", pair_key(dataset_id, preset)).success
    assert show_dataset(workshop.instance, workshop.store, dataset_id).tokenizations == (preset,)


def test_a_deletion_that_somebody_is_at_work_on_is_left_to_them(workshop: Workshop) -> None:
    dataset_id = _downloaded(workshop)
    store_deletion.mark_deleting(workshop.store, dataset_id)
    with dataset_lock(workshop.store, dataset_id, DELETION_PART, "being deleted"):
        assert _requests(workshop) == []
    assert len(_requests(workshop)) == 1


def test_two_deletions_at_once_delete_once(workshop: Workshop) -> None:
    dataset_id = _downloaded(workshop)
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(delete(workshop.instance, workshop.store, plan))
        except MistudioError as error:
            outcomes.append(str(error.code))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, outcomes)) == sorted([str(plan.bytes), "unknown_dataset"])
    assert [path for path in workshop.store.root.rglob(f"*{dataset_id}*")] == []


def test_a_download_that_begins_during_a_deletion_writes_nothing(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one", "two"]))
    store_deletion.mark_deleting(workshop.store, dataset_id)
    assert not workshop.run("download", dataset_id).success
    assert not workshop.store.raw(dataset_id).exists()
    _let_the_sensor_finish(workshop)
    assert list_datasets(workshop.instance, workshop.store) == []


def test_the_same_files_can_be_added_while_their_dataset_is_being_deleted(workshop: Workshop) -> None:
    path = workshop.write_texts("texts.jsonl", ["one", "two"])
    old = workshop.add(path)
    assert workshop.run("download", old).success
    store_deletion.mark_deleting(workshop.store, old)
    new = workshop.add(path)
    assert new != old
    assert workshop.run("download", new).success
    requests = {one.job_name: one for one in _requests(workshop)}
    assert set(requests) == {"delete_datasets", "ingest"}
    deletion = requests["delete_datasets"]
    assert workshop.run("delete_datasets", run_config=deletion.run_config, tags=deletion.tags).success
    (overview,) = list_datasets(workshop.instance, workshop.store)
    assert (overview.record.id, overview.status.status) == (new, "ingesting")


def test_a_dataset_whose_record_is_lost_or_damaged_is_shown_and_can_be_deleted(workshop: Workshop) -> None:
    for content in (None, b"", b"{", b'{"id": 3}', b"\xff"):
        dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
        path: Path = workshop.store.record(dataset_id)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        (overview,) = list_datasets(workshop.instance, workshop.store)
        assert (overview.record.id, overview.status.status) == (dataset_id, "error"), content
        assert overview.status.next_step
        assert _requests(workshop) == []
        delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))
        assert list_datasets(workshop.instance, workshop.store) == []
