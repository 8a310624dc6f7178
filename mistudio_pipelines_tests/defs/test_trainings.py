"""Trainings that use a dataset: what reports mean, whatever arrives."""

from __future__ import annotations

import time

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.defs.deletion import delete, plan_deletion
from mistudio_pipelines.defs.trainings import (
    DEFAULT_SECONDS,
    LONGEST_SECONDS,
    TRAINING,
    TrainingReport,
    active_trainings,
    newest_reports,
    parse_report,
)
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines_tests.defs.conftest import Workshop

ID = "ds_texts_abcdef"


def _report(workshop: Workshop, training_id: str, **metadata: object) -> None:
    workshop.instance.report_runless_asset_event(
        dg.AssetObservation(TRAINING, partition=training_id, metadata=metadata)  # type: ignore[arg-type]
    )


def test_a_training_that_runs_keeps_its_dataset_and_is_named_until_it_is_done(workshop: Workshop) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    other = workshop.add(workshop.write_texts("other.jsonl", ["two"]))
    _report(workshop, "sae-1", dataset_id=dataset_id, status="started")
    _report(workshop, "sae-2", dataset_id=dataset_id, status="running")
    with pytest.raises(MistudioError, match="training sae-1; training sae-2") as caught:
        delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))
    assert caught.value.code == "in_use"
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, other))
    _report(workshop, "sae-1", dataset_id=dataset_id, status="done")
    _report(workshop, "sae-2", dataset_id=dataset_id, status="FAILED")
    delete(workshop.instance, workshop.store, plan_deletion(workshop.instance, workshop.store, dataset_id))


def test_a_training_that_begins_between_plan_and_deletion_is_seen_and_the_mark_is_taken_back(
    workshop: Workshop,
) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", ["one"]))
    plan = plan_deletion(workshop.instance, workshop.store, dataset_id)
    _report(workshop, "sae-1", dataset_id=dataset_id, status="started")
    with pytest.raises(MistudioError, match="sae-1"):
        delete(workshop.instance, workshop.store, plan)
    assert not plan_deletion(workshop.instance, workshop.store, dataset_id).was_begun


def test_a_training_that_stopped_reporting_counts_no_longer_than_it_said(workshop: Workshop) -> None:
    _report(workshop, "sae-1", dataset_id=ID, status="running", valid_seconds=100)
    _report(workshop, "sae-2", dataset_id=ID)
    now = time.time()

    def active(moment: float) -> list[str]:
        return [one.training_id for one in active_trainings(workshop.instance, moment)]

    assert active(now) == ["sae-1", "sae-2"]
    assert active(now + 110) == ["sae-2"]
    assert active(now + DEFAULT_SECONDS + 10) == []
    # The clock was set back: what was reported counts still.
    assert active(now - 50) == ["sae-1", "sae-2"]


def test_the_newest_report_counts_however_many_there_are(workshop: Workshop) -> None:
    for status in ("started", "running", "running", "done"):
        _report(workshop, "sae-1", dataset_id=ID, status=status)
    assert active_trainings(workshop.instance) == []
    _report(workshop, "sae-1", dataset_id="ds_other_abcdef", status="running")
    (active,) = active_trainings(workshop.instance)
    assert active.dataset_id == "ds_other_abcdef"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@given(
    partition=st.none() | st.text(),
    metadata=st.dictionaries(
        st.sampled_from(["dataset_id", "status", "valid_seconds", "training_id"]) | st.text(max_size=3),
        VALUES | st.just(ID),
    ),
)
def test_whatever_arrives_is_a_report_within_limits_or_nothing(partition: str | None, metadata: dict) -> None:
    report = parse_report(partition, metadata, 1000.0)
    if report is not None:
        assert report.training_id.isprintable()
        assert report.dataset_id.startswith("ds_")
        assert 0 < report.valid_seconds <= LONGEST_SECONDS
        assert not report.counts_at(1000.0 + LONGEST_SECONDS)


def test_of_two_reports_at_the_same_moment_the_one_read_first_counts() -> None:
    newer = TrainingReport("a", ID, "done", 5.0)
    assert newest_reports([newer, TrainingReport("a", ID, "running", 5.0)]) == {"a": newer}
