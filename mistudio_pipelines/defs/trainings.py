"""Trainings outside this product that use a dataset: what they reported about themselves, and which of them count.

What belongs here: reading reports. A training reports over Dagster's REST endpoint on the external asset `training`
(`assets/training.py`, docs/trainings.md). That endpoint checks nothing, so everything is checked here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mistudio_pipelines.store.ids import is_dataset_id

TRAINING = dg.AssetKey("training")
ACTIVE = ("started", "running")
DEFAULT_SECONDS = 3600.0
LONGEST_SECONDS = 7 * 24 * 3600.0
_REPORTS_PER_QUERY = 500
_LONGEST_ID = 200


@dataclass(frozen=True)
class TrainingReport:
    """What a training said of itself at one moment.

    Attributes:
        training_id: Its id: the partition of the observation.
        dataset_id: The dataset it uses.
        status: `started` or `running` while it uses it; anything else means that it does not any more.
        reported: When, seconds since 1970, by the server's clock.
        valid_seconds: For how long it counts without another report.
    """

    training_id: str
    dataset_id: str
    status: str
    reported: float
    valid_seconds: float = DEFAULT_SECONDS

    def counts_at(self, moment: float) -> bool:
        """True where the training uses its dataset at that moment, as far as it said."""
        return self.status in ACTIVE and moment < self.reported + self.valid_seconds


def parse_report(partition: str | None, metadata: Mapping[str, Any], reported: float) -> TrainingReport | None:
    """A report from what arrived, or None where it says nothing that can be used.

    Args:
        partition: Partition of the observation; the metadata may name the training as `training_id` instead.
        metadata: Its metadata as plain values: `dataset_id`, `status`, `valid_seconds`.
        reported: When it arrived.
    """
    training_id = partition or metadata.get("training_id")
    dataset_id = metadata.get("dataset_id")
    if not isinstance(training_id, str) or not training_id or not isinstance(dataset_id, str):
        return None
    if not is_dataset_id(dataset_id):
        return None
    shown = "".join(character if character.isprintable() else "?" for character in training_id[:_LONGEST_ID])
    status = str(metadata.get("status", "running")).strip().lower()
    return TrainingReport(shown, dataset_id, status, reported, _valid_seconds(metadata.get("valid_seconds")))


def newest_reports(reports: Iterable[TrainingReport]) -> dict[str, TrainingReport]:
    """The newest report of each training.

    Args:
        reports: In any order; of two that arrived at the same time the first given counts.
    """
    newest: dict[str, TrainingReport] = {}
    for report in reports:
        known = newest.get(report.training_id)
        if known is None or report.reported > known.reported:
            newest[report.training_id] = report
    return newest


def active_trainings(instance: dg.DagsterInstance, moment: float | None = None) -> list[TrainingReport]:
    """The trainings that use a dataset now.

    Args:
        instance: Where they reported.
        moment: Seconds since 1970, or None for now.
    """
    now = time.time() if moment is None else moment
    reports = newest_reports(_read_reports(instance, since=now - LONGEST_SECONDS))
    return sorted((one for one in reports.values() if one.counts_at(now)), key=lambda one: one.training_id)


def _read_reports(instance: dg.DagsterInstance, since: float) -> Iterable[TrainingReport]:
    """Reports since a moment, newest first."""
    cursor = None
    while True:
        found = instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=TRAINING, after_timestamp=since), limit=_REPORTS_PER_QUERY, cursor=cursor
        )
        for record in found.records:
            observation = record.asset_observation
            if observation is None:
                continue
            metadata = {key: value.value for key, value in observation.metadata.items()}
            report = parse_report(observation.partition, metadata, record.timestamp)
            if report is not None:
                yield report
        if not found.has_more:
            return
        cursor = found.cursor


def _valid_seconds(value: Any) -> float:
    """What was asked for, within reason: a report that says nothing sensible counts for an hour."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return DEFAULT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        return DEFAULT_SECONDS
    return min(seconds, LONGEST_SECONDS) if math.isfinite(seconds) and seconds > 0 else DEFAULT_SECONDS
