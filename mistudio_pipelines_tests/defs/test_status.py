"""The status of a dataset: the rule, without Dagster."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.defs.status_rule import StageAttempt, Status, StatusFacts, derive_status
from mistudio_pipelines.errors import ErrorCode, MistudioError

ID = "ds_a_123456"
DONE = {"downloaded": True, "files_present": True, "ingested": True}


def _attempt(stage: str, state: str, **more: object) -> StageAttempt:
    return StageAttempt(stage, state, "run-1", **more)  # type: ignore[arg-type]


def test_a_dataset_that_was_just_added_is_downloading_and_waits() -> None:
    status = derive_status(StatusFacts(False, False, False), ID)
    assert (status.status, status.detail) == ("downloading", "waiting to be started")


def test_a_queued_download_says_so_and_shows_no_old_progress() -> None:
    attempt = _attempt("download", "waiting", progress="45%", percent=45.0)
    status = derive_status(StatusFacts(False, False, False, download=attempt), ID)
    assert (status.status, status.detail, status.percent) == ("downloading", "queued", None)


def test_a_running_download_shows_its_progress() -> None:
    attempt = _attempt("download", "running", progress="45% 1.2 GB of 2.6 GB", percent=45.0)
    status = derive_status(StatusFacts(False, False, False, download=attempt), ID)
    assert (status.status, status.detail, status.percent) == ("downloading", "45% 1.2 GB of 2.6 GB", 45.0)


def test_a_failed_download_shows_its_sentence_and_what_to_do() -> None:
    attempt = _attempt("download", "failed", error="Access denied.", error_code="access_denied", percent=45.0)
    status = derive_status(StatusFacts(False, False, False, download=attempt), ID)
    assert (status.status, status.error, status.error_code) == ("error", "Access denied.", "access_denied")
    assert f"mistudio retry {ID}" in (status.next_step or "")
    assert status.percent is None


def test_a_killed_run_is_an_error_whatever_its_old_tags_say() -> None:
    attempt = _attempt("ingestion", "lost", progress="99%", percent=99.0)
    status = derive_status(StatusFacts(True, True, False, ingestion=attempt), ID)
    assert status.status == "error"
    assert status.stage == "ingestion"


def test_a_dataset_whose_files_are_gone_is_in_error_although_dagster_shows_it_materialized() -> None:
    status = derive_status(StatusFacts(True, False, True), ID)
    assert (status.status, status.error_code, status.stage) == ("error", "data_missing", "download")


def test_a_downloaded_dataset_is_ingesting_until_its_statistics_are_there() -> None:
    assert derive_status(StatusFacts(True, True, False), ID).status == "ingesting"


def test_a_ready_dataset_that_is_being_tokenized_says_with_what() -> None:
    facts = StatusFacts(**DONE, tokenizations=(_attempt("tokenization", "running", preset="gpt2", progress="3%"),))
    status = derive_status(facts, ID)
    assert (status.status, status.preset, status.detail) == ("tokenizing", "gpt2", "3%")


def test_a_cancelled_tokenization_leaves_the_dataset_ready() -> None:
    facts = StatusFacts(**DONE, tokenizations=(_attempt("tokenization", "canceled", preset="gpt2"),))
    assert derive_status(facts, ID).status == "ready"


def test_work_in_progress_is_shown_before_the_error_of_another_tokenization() -> None:
    failed = _attempt("tokenization", "failed", preset="a", error="No.")
    running = _attempt("tokenization", "running", preset="b")
    assert derive_status(StatusFacts(**DONE, tokenizations=(failed, running)), ID).preset == "b"
    assert derive_status(StatusFacts(**DONE, tokenizations=(failed,)), ID).status == "error"


def test_a_dataset_that_is_being_deleted_says_nothing_else() -> None:
    facts = StatusFacts(True, True, True, deleting=True, download=_attempt("download", "running"))
    assert derive_status(facts, ID).status == "deleting"


def test_an_interrupted_run_continues_by_itself_and_is_no_error_yet() -> None:
    attempt = _attempt("download", "interrupted", progress="99%", percent=99.0)
    status = derive_status(StatusFacts(False, False, False, download=attempt), ID)
    assert (status.status, status.percent) == ("downloading", None)
    assert "continues by itself" in status.detail


def test_damage_on_the_disk_is_an_error_of_the_stage_that_mends_it() -> None:
    raw = derive_status(StatusFacts(True, False, True, files_damaged=True), ID)
    index = derive_status(StatusFacts(**DONE, index_present=False), ID)
    rotten = derive_status(StatusFacts(**DONE, index_present=False, index_damaged=True), ID)
    tokens = derive_status(StatusFacts(**DONE, damaged_tokenizations=("gpt2",)), ID)
    assert [(one.status, one.error_code, one.stage) for one in (raw, index, rotten, tokens)] == [
        ("error", "data_corrupt", "download"),
        ("error", "index_missing", "ingestion"),
        ("error", "data_corrupt", "ingestion"),
        ("error", "data_corrupt", "tokenization"),
    ]
    assert tokens.preset == "gpt2"


def test_a_record_that_cannot_be_read_is_an_error_that_no_run_mends() -> None:
    problem = MistudioError(ErrorCode.DATA_CORRUPT, "The record cannot be read.", "Restore it.")
    status = derive_status(StatusFacts(**DONE, record_error=problem), ID)
    assert (status.status, status.stage, status.next_step) == ("error", None, "Restore it.")


STATES = st.sampled_from(["waiting", "running", "failed", "interrupted", "lost", "canceled"])


@given(
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    states=st.tuples(st.none() | STATES, st.none() | STATES, st.lists(STATES, max_size=3)),
)
def test_every_combination_has_a_status_and_only_errors_carry_an_error(flags: tuple, states: tuple) -> None:
    download, ingestion, tokenizations = states
    facts = StatusFacts(
        *flags,
        download=_attempt("download", download) if download else None,
        ingestion=_attempt("ingestion", ingestion) if ingestion else None,
        tokenizations=tuple(_attempt("tokenization", state, preset="p") for state in tokenizations),
    )
    status = derive_status(facts, ID)
    assert status.status in get_args(Status)
    assert (status.error is not None) == (status.status == "error")
    assert status.status != "error" or status.next_step
