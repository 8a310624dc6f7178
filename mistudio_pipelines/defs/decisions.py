"""What starts by itself, as one pure function: from what is known of the datasets to the runs to request.

Every rule of "what comes next" is here; `sensors.py` only reads Dagster and passes on. A run key names one run that
may exist once: ids are never used twice and each key names the run whose end it follows, so a key is never needed
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mistudio_pipelines.defs.names import (
    ATTEMPT_TAG,
    DELETE_DATASETS_JOB,
    DOWNLOAD_JOB,
    INGEST_JOB,
    TOKENIZE_JOB,
)

MOST_CONTINUATIONS = 3

AttemptState = Literal["active", "lost", "out_of_room", "failed", "canceled"]


@dataclass(frozen=True)
class Attempt:
    """The newest attempt at one partition of an asset that has not (yet) led to a materialization.

    Attributes:
        run_id: The run.
        state: `active` while it is queued or runs; `lost` where its process ended without saying why; `out_of_room`
            where the disk was full; `failed` where it said another reason; `canceled` where a person ended it.
        continuations: How often the work had been continued by itself when the run was started.
    """

    run_id: str
    state: AttemptState
    continuations: int = 0


@dataclass(frozen=True)
class UnfinishedDeletion:
    """A deletion that was begun and that nobody is working on.

    Attributes:
        preset: The one tokenization that was being deleted, or None for the whole dataset.
        attempts: How often it was continued by itself.
    """

    preset: str | None = None
    attempts: int = 0


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of one dataset.

    Attributes:
        dataset_id: Its id.
        downloaded: True where `raw` is there.
        raw_run_id: The run that made `raw`; known only while `ingested` is False.
        ingested: True where statistics and index are newer than `raw`.
        download: Newest attempt at `raw` without a result.
        ingestion: Newest attempt at statistics and index of this `raw` without a result.
        tokenizations: Newest attempt at each tokenization without a result, by preset.
        wanted_tokenizations: Presets to tokenize with as soon as `raw` is there; known only while `ingested` is False.
        has_record: Its record can be read; without it nobody knows what to do for the dataset.
        deleting: It is being deleted, by whomever.
        unfinished_deletions: Deletions of it, or of single tokenizations, that were cut short.
        has_room: The disk has room again for what it still needs; looked at only where it ran out of room.
    """

    dataset_id: str
    downloaded: bool = False
    raw_run_id: str | None = None
    ingested: bool = False
    download: Attempt | None = None
    ingestion: Attempt | None = None
    tokenizations: Mapping[str, Attempt] = field(default_factory=dict)
    wanted_tokenizations: Sequence[str] = ()
    has_record: bool = True
    deleting: bool = False
    unfinished_deletions: Sequence[UnfinishedDeletion] = ()
    has_room: bool = False


@dataclass(frozen=True)
class WantedRun:
    """A run to request.

    Attributes:
        job: Name of the job.
        dataset_id: The dataset.
        preset: The tokenization, for the jobs `tokenize` and `delete_datasets`.
        run_key: Dagster starts one run for it, ever.
        tags: Tags of the run.
    """

    job: str
    dataset_id: str
    run_key: str
    preset: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def next_runs(facts: DatasetFacts) -> list[WantedRun]:
    """The runs that this dataset is waiting for."""
    deletions = _deletions(facts)
    if facts.deleting or not facts.has_record:
        return deletions
    return [*deletions, *_download(facts), *_ingestion(facts), *_tokenizations(facts)]


def _deletions(facts: DatasetFacts) -> list[WantedRun]:
    """Finish what was begun, a few times; what stands against it then is for a person."""
    return [
        WantedRun(
            DELETE_DATASETS_JOB,
            facts.dataset_id,
            f"{DELETE_DATASETS_JOB}/{facts.dataset_id}/{deletion.preset or ''}/{deletion.attempts}",
            deletion.preset,
        )
        for deletion in facts.unfinished_deletions
        if deletion.attempts < MOST_CONTINUATIONS
    ]


def _download(facts: DatasetFacts) -> list[WantedRun]:
    if facts.download is not None:
        return _continue(DOWNLOAD_JOB, facts, None, facts.download)
    if not facts.downloaded:
        return [WantedRun(DOWNLOAD_JOB, facts.dataset_id, f"{DOWNLOAD_JOB}/{facts.dataset_id}")]
    return []


def _ingestion(facts: DatasetFacts) -> list[WantedRun]:
    if facts.ingestion is not None:
        return _continue(INGEST_JOB, facts, None, facts.ingestion)
    if facts.raw_run_id is None or facts.ingested:
        return []
    return [WantedRun(INGEST_JOB, facts.dataset_id, f"{INGEST_JOB}/{facts.dataset_id}/{facts.raw_run_id}")]


def _tokenizations(facts: DatasetFacts) -> list[WantedRun]:
    wanted = []
    for preset, attempt in facts.tokenizations.items():
        wanted += _continue(TOKENIZE_JOB, facts, preset, attempt)
    if facts.raw_run_id is not None and not facts.ingested:
        for preset in facts.wanted_tokenizations:
            key = f"{TOKENIZE_JOB}/{facts.dataset_id}/{preset}/{facts.raw_run_id}"
            wanted.append(WantedRun(TOKENIZE_JOB, facts.dataset_id, key, preset))
    return wanted


def _continue(job: str, facts: DatasetFacts, preset: str | None, attempt: Attempt) -> list[WantedRun]:
    """A new run, a few times, for one that was lost or that has room again; other failures wait for a person."""
    can_go_on = attempt.state == "lost" or (attempt.state == "out_of_room" and facts.has_room)
    if not can_go_on or attempt.continuations >= MOST_CONTINUATIONS:
        return []
    return [
        WantedRun(
            job,
            facts.dataset_id,
            f"{job}/{facts.dataset_id}/{preset or ''}/after/{attempt.run_id}",
            preset,
            {ATTEMPT_TAG: str(attempt.continuations + 1)},
        )
    ]
