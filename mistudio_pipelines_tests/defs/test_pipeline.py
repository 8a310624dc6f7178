"""The way of a dataset through the assets, on a real instance, in this process."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mistudio_pipelines.defs.history import RAW, STATISTICS, TOKENIZED
from mistudio_pipelines.defs.operation import require_dataset, require_tokenization
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.resources import DataStoreResource
from mistudio_pipelines.defs.sensors import advance_datasets
from mistudio_pipelines.defs.status import list_datasets, show_dataset
from mistudio_pipelines.defs.status_rule import DatasetStatus
from mistudio_pipelines.defs.verdicts import raw_verdict
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines_tests.defs.conftest import Workshop

TEXTS: list[str | None] = ["one two three", None, "", "one two three", "four \u2028 five", "x" * 10_000]


def _status(workshop: Workshop, dataset_id: str) -> DatasetStatus:
    return show_dataset(workshop.instance, workshop.store, dataset_id).status


def _requests(workshop: Workshop) -> list[dg.RunRequest]:
    definitions = workshop.definitions
    context = dg.build_sensor_context(
        instance=workshop.instance,
        repository_def=definitions.get_repository_def(),
        resources={"data_store": DataStoreResource(data_folder=str(workshop.store.root))},
    )
    return [one for one in advance_datasets(context) if isinstance(one, dg.RunRequest)]  # type: ignore[union-attr]


def _materialization(workshop: Workshop, asset: dg.AssetKey, partition: str) -> dg.AssetMaterialization:
    records = workshop.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition]), limit=1
    ).records
    assert records[0].asset_materialization is not None
    return records[0].asset_materialization


def test_local_files_go_from_added_to_tokenized_and_the_sensor_asks_for_each_step_once(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS), tokenizations=(preset,))
    assert dataset_id.startswith("ds_local_texts_")
    assert _status(workshop, dataset_id).status == "downloading"
    assert [(one.job_name, one.partition_key) for one in _requests(workshop)] == [("download", dataset_id)]

    assert workshop.run("download", dataset_id).success
    assert _status(workshop, dataset_id).status == "ingesting"
    wanted = {one.job_name: one for one in _requests(workshop)}
    assert set(wanted) == {"ingest", "tokenize"}
    assert wanted["tokenize"].partition_key == pair_key(dataset_id, preset)

    assert workshop.run("ingest", dataset_id).success
    assert _status(workshop, dataset_id).status == "ready"
    assert _requests(workshop) == []

    tokenized = workshop.run("tokenize", pair_key(dataset_id, preset))
    assert tokenized.success
    (overview,) = list_datasets(workshop.instance, workshop.store)
    assert (overview.status.status, overview.tokenizations) == ("ready", (preset,))


def test_materializations_carry_the_record_the_numbers_and_the_pictures(workshop: Workshop) -> None:
    preset = workshop.save_preset()
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS), name="My texts")
    for job, partition in (
        ("download", dataset_id),
        ("ingest", dataset_id),
        ("tokenize", pair_key(dataset_id, preset)),
    ):
        assert workshop.run(job, partition).success

    raw = _materialization(workshop, RAW, dataset_id)
    assert raw.metadata["name"].value == "My texts"
    assert raw.metadata["dagster/row_count"].value == len(TEXTS)
    assert {column.name for column in raw.metadata["dagster/column_schema"].schema.columns} == {"text", "number"}
    statistics = _materialization(workshop, STATISTICS, dataset_id).metadata
    assert statistics["status"].value == "ready"
    assert (statistics["num_samples"].value, statistics["num_tokens"].value) == (6, 9)
    assert (statistics["nulls"].value, statistics["duplicates"].value) == (1, 1)
    for picture in ("tokens_per_sample", "samples_by_split", "storage"):
        assert "data:image/svg+xml;base64," in statistics[picture].value
        assert len(statistics[picture].value) < 1000, "longer ones are only a link on the asset page"
        assert len(statistics[f"{picture}_in_detail"].value) < 12_000
    assert len(statistics["first_samples"].records) == 6
    tokens = _materialization(workshop, TOKENIZED, pair_key(dataset_id, preset)).metadata
    assert tokens["dagster/row_count"].value > 0
    assert tokens["engine_reason"].value


def test_checks_say_what_they_found(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    workshop.run("download", dataset_id)
    result = workshop.run("ingest", dataset_id)
    verdicts = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert verdicts["statistics_add_up"].passed
    assert verdicts["index_is_complete"].passed
    assert not verdicts["text_is_clean"].passed
    assert verdicts["text_is_clean"].severity == dg.AssetCheckSeverity.WARN
    assert "1 of 6 samples are without a text" in (verdicts["text_is_clean"].description or "")


def test_running_again_without_a_change_reads_nothing_and_says_so(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    for _ in range(2):
        assert workshop.run("download", dataset_id).success
        assert workshop.run("ingest", dataset_id).success
    assert _materialization(workshop, STATISTICS, dataset_id).metadata["unchanged"].value is True


def test_bit_rot_is_found_by_the_check_and_mended_by_a_retry(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    workshop.run("download", dataset_id)
    (file,) = workshop.store.raw(dataset_id).glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    verdict = raw_verdict(workshop.store, dataset_id, lambda progress: None)
    assert not verdict.passed
    assert file.name in (verdict.description or "")
    status = _status(workshop, dataset_id)
    assert (status.status, status.stage) == ("error", "download")
    assert "mistudio retry" in (status.next_step or "")
    assert workshop.run("download", dataset_id).success
    assert raw_verdict(workshop.store, dataset_id, lambda progress: None).passed
    assert workshop.run("ingest", dataset_id).success
    assert _status(workshop, dataset_id).status == "ready"


def test_a_key_that_is_not_registered_is_refused(workshop: Workshop) -> None:
    with pytest.raises(MistudioError) as caught:
        require_dataset(workshop.instance, workshop.store, "ds_never_added_abcdef")
    assert caught.value.code == "partition_not_registered"
    assert "mistudio add" in caught.value.next_step
    with pytest.raises(MistudioError, match="tokenization 'never-saved'"):
        require_tokenization(workshop.instance, "never-saved")


@pytest.mark.parametrize("job", ["download", "ingest"])
def test_a_run_of_a_key_that_is_not_registered_ends_with_our_sentence(workshop: Workshop, job: str) -> None:
    workshop.instance.report_runless_asset_event(
        dg.AssetObservation("hub_revision", partition="another", tags={"dagster/data_version": "1"})
    )
    result = workshop.run(job, tags={"dagster/partition": "ds_never_added_abcdef"})
    assert not result.success
    run = workshop.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["mistudio/error_code"] == "partition_not_registered"
    assert not (workshop.store.root / "datasets" / "raw").exists()


def test_a_failed_stage_is_shown_with_its_sentence_and_is_not_tried_again_by_itself(workshop: Workshop) -> None:
    path = workshop.write_texts("texts.jsonl", TEXTS)
    dataset_id = workshop.add(path)
    path.unlink()
    assert not workshop.run("download", dataset_id).success
    status = _status(workshop, dataset_id)
    assert status.status == "error"
    assert status.stage == "download"
    assert "texts.jsonl" in (status.error or "")
    assert _requests(workshop) == []


def test_raw_files_that_are_gone_are_an_error_with_the_way_out(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    workshop.run("download", dataset_id)
    workshop.run("ingest", dataset_id)
    for file in Path(workshop.store.raw(dataset_id)).iterdir():
        file.unlink()
    assert _status(workshop, dataset_id).error_code == "data_missing"
    workshop.run("download", dataset_id)
    workshop.run("ingest", dataset_id)
    assert _status(workshop, dataset_id).status == "ready"


def test_samples_are_browsed_by_a_job_and_a_bad_query_is_one_sentence(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    workshop.run("download", dataset_id)
    workshop.run("ingest", dataset_id)

    def browse(**config: object) -> dg.ExecuteInProcessResult:
        configured = {"ops": {"browse": {"config": {"dataset_id": dataset_id, **config}}}}
        return workshop.run("browse_samples", run_config=configured)

    page = browse(search="five").output_for_node("browse")
    assert page["total"] == 1
    assert page["samples"][0]["number"] == 4
    result = browse(search='"five')
    run = workshop.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["mistudio/error_code"] == "invalid_query"
