"""A dataset as a card of the list: how its status looks, what can be done with it.

What belongs here: from a line of the API's list to what a card shows, pure. What does not: finding it
(`api/reading.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mistudio_pipelines.api.models.datasets import DatasetSummary, Status

BUSY: Final = frozenset({"downloading", "ingesting", "tokenizing"})
STATUSES: Final[Mapping[Status, str]] = {
    "ready": "Ready",
    "downloading": "Downloading",
    "ingesting": "Ingesting",
    "tokenizing": "Tokenizing",
    "error": "Error",
    "deleting": "Deleting",
}
SOURCES: Final = ("HuggingFace", "Local")
_ICONS: Final[Mapping[Status, str]] = {
    "ready": "ready",
    "downloading": "busy",
    "ingesting": "activity",
    "tokenizing": "layers",
    "error": "error",
    "deleting": "trash",
}


@dataclass(frozen=True)
class Card:
    """What a card shows.

    Attributes:
        dataset: The line of the list.
        label: The status as people say it.
        icon: Name of its icon.
        is_busy: Something is being done; the card has a progress bar.
        percent: How far it is, or None where that is not known.
        detail: What is being done, with speed and time left.
        advice: What to do about an error.
        can_open: Its samples can be looked at.
        can_retry: A run can continue what failed.
        can_cancel: A run can be ended.
        can_update: The Hub may have a newer version.
    """

    dataset: DatasetSummary
    label: str
    icon: str
    is_busy: bool
    percent: float | None
    detail: str
    advice: str
    can_open: bool
    can_retry: bool
    can_cancel: bool
    can_update: bool


def make_card(dataset: DatasetSummary) -> Card:
    """The card of a dataset."""
    is_busy = dataset.status in BUSY
    can_retry = dataset.status == "error" and dataset.stage is not None
    return Card(
        dataset=dataset,
        label=STATUSES[dataset.status],
        icon=_ICONS[dataset.status],
        is_busy=is_busy,
        percent=dataset.progress if is_busy else None,
        detail=dataset.detail,
        advice=_advice(dataset, can_retry=can_retry),
        # A tokenization in progress, or one that failed, leaves the texts where they are.
        can_open=dataset.num_samples is not None and dataset.status != "deleting",
        can_retry=can_retry,
        can_cancel=is_busy and dataset.job_id is not None,
        can_update=dataset.status == "ready" and dataset.source == "HuggingFace",
    )


def _advice(dataset: DatasetSummary, *, can_retry: bool) -> str:
    """What to do, in the panel's words: a button where the command line has a command."""
    if can_retry:
        return "Retry continues where it stopped."
    return dataset.next_step or ""
