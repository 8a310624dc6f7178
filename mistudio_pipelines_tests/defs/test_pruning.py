"""Old runs and notes go from Dagster's database; what says what is there stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
from click.testing import CliRunner

from mistudio_pipelines.cli import cli
from mistudio_pipelines.defs.instance import home_folder
from mistudio_pipelines.defs.pruning import find_prunable, prune, vacuum
from mistudio_pipelines.defs.status import list_datasets, show_dataset
from mistudio_pipelines.defs.transitions import TransitionLog
from mistudio_pipelines_tests.defs.conftest import Workshop


def _notes(workshop: Workshop) -> list[str | None]:
    records = workshop.instance.fetch_observations(dg.AssetKey("raw"), limit=100, ascending=True).records
    return [record.asset_observation.description for record in records if record.asset_observation]


def test_what_nothing_current_depends_on_goes_and_the_rest_stays(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one two", "three"]))
    transitions = TransitionLog()
    for job in ("download", "ingest"):
        transitions.note(workshop.instance, workshop.store, list_datasets(workshop.instance, workshop.store))
        assert workshop.run(job, dataset_id).success
    transitions.note(workshop.instance, workshop.store, list_datasets(workshop.instance, workshop.store))
    config = {"ops": {"browse": {"config": {"dataset_id": dataset_id}}}}
    browsed = workshop.run("browse_samples", run_config=config)
    failed = workshop.add(workshop.write_texts("failing.jsonl", ["one"]))
    (workshop.folder / "failing.jsonl").unlink()
    assert not workshop.run("download", failed).success
    assert len(_notes(workshop)) == 3

    nothing = find_prunable(workshop.instance, datetime.now(UTC) - timedelta(days=1))
    assert (nothing.run_ids, nothing.observations) == ((), ())
    prunable = find_prunable(workshop.instance, datetime.now(UTC) + timedelta(days=1))
    assert (prunable.run_ids, len(prunable.observations)) == ((browsed.run_id,), 2)
    before = {key: show_dataset(workshop.instance, workshop.store, key) for key in (dataset_id, failed)}
    prune(workshop.instance, prunable)
    vacuum(home_folder(workshop.store))
    assert {run.job_name for run in workshop.instance.get_runs()} == {"download", "ingest"}
    assert _notes(workshop) == ["Status: ready"]
    assert {key: show_dataset(workshop.instance, workshop.store, key) for key in before} == before
    assert before[failed].status.status == "error"
    again = find_prunable(workshop.instance, datetime.now(UTC) + timedelta(days=1))
    assert (again.run_ids, again.observations) == ((), ())


def test_the_command_says_what_it_removed(workshop: Workshop) -> None:
    arguments = ["--data", str(workshop.store.root), "prune", "--older-than", "30"]
    dry = CliRunner().invoke(cli, [*arguments, "--dry-run"], catch_exceptions=False)
    assert dry.output == "Would remove 0 runs and 0 notes that are older than 30 days.\n"
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.output == "Removed 0 runs and 0 notes that were older than 30 days.\n"
