"""What starts by itself: the rules, without Dagster."""

from __future__ import annotations

import pytest

from mistudio_pipelines.defs.decisions import (
    MOST_CONTINUATIONS,
    Attempt,
    DatasetFacts,
    UnfinishedDeletion,
    WantedRun,
    next_runs,
)
from mistudio_pipelines.defs.names import ATTEMPT_TAG

NEW = DatasetFacts("ds_a_123456")
DOWNLOADED = DatasetFacts("ds_a_123456", downloaded=True, raw_run_id="run-1")
READY = DatasetFacts("ds_a_123456", downloaded=True, ingested=True)


def test_a_dataset_that_was_just_added_is_downloaded() -> None:
    assert next_runs(NEW) == [WantedRun("download", "ds_a_123456", "download/ds_a_123456")]


def test_a_download_that_is_queued_or_running_is_not_started_twice() -> None:
    assert next_runs(DatasetFacts("ds_a_123456", download=Attempt("run-1", "active"))) == []


@pytest.mark.parametrize("state", ["failed", "canceled"])
def test_what_failed_for_a_reason_waits_for_a_person(state: str) -> None:
    assert next_runs(DatasetFacts("ds_a_123456", download=Attempt("run-1", state))) == []
    assert next_runs(DatasetFacts("ds_a_123456", True, "run-1", ingestion=Attempt("run-2", state))) == []


def test_a_lost_download_is_continued_and_says_how_often_that_happened() -> None:
    (wanted,) = next_runs(DatasetFacts("ds_a_123456", download=Attempt("run-1", "lost", continuations=1)))
    assert wanted.job == "download"
    assert wanted.run_key.endswith("after/run-1")
    assert wanted.tags == {ATTEMPT_TAG: "2"}


def test_a_download_that_is_lost_again_and_again_is_given_up() -> None:
    lost = Attempt("run-9", "lost", continuations=MOST_CONTINUATIONS)
    assert next_runs(DatasetFacts("ds_a_123456", download=lost)) == []


@pytest.mark.parametrize(("has_room", "runs"), [(False, 0), (True, 1)])
def test_a_download_that_ran_out_of_room_goes_on_when_there_is_room(has_room: bool, runs: int) -> None:
    facts = DatasetFacts("ds_a_123456", has_room=has_room, download=Attempt("run-1", "out_of_room"))
    assert len(next_runs(facts)) == runs


def test_ingestion_follows_a_download() -> None:
    assert next_runs(DOWNLOADED) == [WantedRun("ingest", "ds_a_123456", "ingest/ds_a_123456/run-1")]


def test_each_download_leads_to_one_ingestion_of_its_own() -> None:
    again = DatasetFacts("ds_a_123456", downloaded=True, raw_run_id="run-7")
    assert next_runs(again)[0].run_key != next_runs(DOWNLOADED)[0].run_key


def test_a_dataset_that_is_ready_waits_for_nothing() -> None:
    assert next_runs(READY) == []


def test_tokenizations_asked_for_when_adding_start_with_the_ingestion() -> None:
    facts = DatasetFacts("ds_a_123456", True, "run-1", wanted_tokenizations=("gpt2-1024",))
    ingestion, tokenization = next_runs(facts)
    assert ingestion.job == "ingest"
    assert (tokenization.job, tokenization.preset) == ("tokenize", "gpt2-1024")
    assert tokenization.run_key == "tokenize/ds_a_123456/gpt2-1024/run-1"


def test_a_lost_tokenization_is_continued_although_the_dataset_is_ingested() -> None:
    facts = DatasetFacts("ds_a_123456", True, None, True, tokenizations={"gpt2-1024": Attempt("run-3", "lost")})
    (wanted,) = next_runs(facts)
    assert (wanted.job, wanted.preset) == ("tokenize", "gpt2-1024")


def test_nothing_is_ingested_while_the_files_are_downloaded_again() -> None:
    facts = DatasetFacts("ds_a_123456", True, None, True, download=Attempt("run-2", "active"))
    assert next_runs(facts) == []


def test_a_deletion_that_was_cut_short_is_finished_and_nothing_else_is_started() -> None:
    facts = DatasetFacts(
        "ds_a_123456",
        download=Attempt("run-1", "lost"),
        deleting=True,
        unfinished_deletions=(UnfinishedDeletion(None, attempts=1),),
    )
    assert next_runs(facts) == [WantedRun("delete_datasets", "ds_a_123456", "delete_datasets/ds_a_123456//1")]


def test_a_deletion_that_fails_again_and_again_waits_for_a_person() -> None:
    given_up = UnfinishedDeletion(None, attempts=MOST_CONTINUATIONS)
    assert next_runs(DatasetFacts("ds_a_123456", deleting=True, unfinished_deletions=(given_up,))) == []


def test_a_deletion_of_one_tokenization_is_finished_beside_other_work() -> None:
    facts = DatasetFacts("ds_a_123456", unfinished_deletions=(UnfinishedDeletion("gpt2"),))
    assert [(one.job, one.preset) for one in next_runs(facts)] == [("delete_datasets", "gpt2"), ("download", None)]


def test_nothing_is_started_for_a_dataset_without_a_record() -> None:
    assert next_runs(DatasetFacts("ds_a_123456", has_record=False)) == []
