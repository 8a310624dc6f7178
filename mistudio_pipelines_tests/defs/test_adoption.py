"""A data folder moves to another database, SQLite or PostgreSQL: everything is known there, nothing is done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from mistudio_pipelines.cli import cli
from mistudio_pipelines.defs.decisions import next_runs
from mistudio_pipelines.defs.history import read_history
from mistudio_pipelines.defs.instance import open_instance, prepare_home
from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.registration import adopt, register_missing_keys
from mistudio_pipelines.defs.sensors import read_facts, to_request
from mistudio_pipelines.defs.status import list_datasets, show_dataset
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.postgres import use_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def new_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Dagster home whose database is empty."""
    home = tmp_path / "new_home"
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres").make_database()
        for key, value in database.items():
            monkeypatch.setenv(key, value)
        use_postgres(home, database)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    prepare_home(home)
    yield home


@pytest.fixture
def moved(workshop: Workshop) -> tuple[str, str]:
    """A dataset that is ready and tokenized, and one that is downloaded only."""
    preset = workshop.save_preset("small", 16)
    texts = [f"text {number} of the first dataset" for number in range(50)]
    ready = workshop.add(workshop.write_texts("ready.jsonl", texts))
    for job, key in (("download", ready), ("ingest", ready), ("tokenize", pair_key(ready, preset))):
        assert workshop.run(job, key).success
    downloaded = workshop.add(workshop.write_texts("downloaded.jsonl", ["one", "two"]))
    assert workshop.run("download", downloaded).success
    return ready, downloaded


def _wanted(instance: dg.DagsterInstance, workshop: Workshop) -> list[tuple[str | None, str | None]]:
    """What the sensor would start."""
    facts = read_facts(instance, workshop.store, read_history(instance))
    requests = [to_request(wanted) for each in facts for wanted in next_runs(each)]
    return [(request.job_name, request.partition_key) for request in requests]


def test_a_new_database_knows_everything_that_is_on_disk(
    workshop: Workshop, moved: tuple[str, str], new_home: Path
) -> None:
    ready, downloaded = moved
    done = CliRunner().invoke(cli, ["--data", str(workshop.store.root), "adopt"], catch_exceptions=False)
    assert (done.exit_code, ready in done.output, "small" in done.output) == (0, True, True)
    again = CliRunner().invoke(cli, ["--data", str(workshop.store.root), "adopt"], catch_exceptions=False)
    assert again.output == "Dagster knows everything that is on disk.\n"
    with open_instance(new_home) as instance:
        assert [one.record.id for one in list_datasets(instance, workshop.store)] == [downloaded, ready]
        overview = show_dataset(instance, workshop.store, ready)
        assert (overview.status.status, overview.tokenizations) == ("ready", ("small",))
        # Only what was never made is started: the ingestion of the second.
        assert _wanted(instance, workshop) == [("ingest", downloaded)]

        for asset, key in (("raw", ready), ("statistics", ready), ("tokenized", pair_key(ready, "small"))):
            new, old = (_metadata(one, asset, key) for one in (instance, workshop.instance))
            assert new.keys() == old.keys()
            assert {name for name in new if new[name] != old[name]} <= {"unchanged", "storage", "storage_in_detail"}
        graph = workshop.definitions.get_repository_def().asset_graph
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        for asset in ("raw", "statistics", "sample_index"):
            assert resolver.get_status(dg.AssetKey(asset), ready) == StaleStatus.FRESH


def _metadata(instance: dg.DagsterInstance, asset: str, key: str) -> dict[str, object]:
    filter_ = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
    (record,) = instance.fetch_materializations(filter_, limit=1).records
    assert record.asset_materialization is not None
    return dict(record.asset_materialization.metadata)


def test_what_is_damaged_or_half_made_is_not_taken_over(workshop: Workshop, moved: tuple[str, str]) -> None:
    ready, downloaded = moved
    store, instance = workshop.store, dg.DagsterInstance.ephemeral()
    next(store.tokenized(ready, "small").rglob("*.parquet")).unlink()
    store.statistics(ready).write_text("{")
    next(store.raw(downloaded).glob("*.parquet")).write_bytes(b"")
    with instance:
        assert set(register_missing_keys(instance, store)) == {ready, downloaded, "small"}
        history = read_history(instance)
        assert set(history.raw.results) == {ready}
        assert not history.statistics.results
        assert not history.tokenized.results


def test_parts_of_a_known_dataset_are_taken_over_too(workshop: Workshop, moved: tuple[str, str]) -> None:
    ready, _ = moved
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("datasets", list(moved))
        assert f"raw/{ready}" in adopt(instance, workshop.store)
        assert show_dataset(instance, workshop.store, ready).status.status == "ready"
        assert adopt(instance, workshop.store) == []
