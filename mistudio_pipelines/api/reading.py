"""What is known of datasets: lists, details, statistics, tokenizations, storage. Every function here only reads.

Endpoints and pages call these; blocking ones run in a thread (`ApiContext.quickly` and its sisters). What belongs here:
asking the Python API and choosing a page of its answer. What does not: the texts and rows themselves
(`reading_samples.py`), any rule about datasets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mistudio_pipelines.api import describing
from mistudio_pipelines.api.models.common import Paged, Pagination
from mistudio_pipelines.api.models.datasets import (
    DatasetDetail,
    DatasetSummary,
    DeletionPlan,
    OrphanedPath,
    Storage,
    StoredDataset,
)
from mistudio_pipelines.api.models.statistics import FullStatistics
from mistudio_pipelines.api.models.tokenizations import DatasetTokenization
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.remembered import read_remembered

if TYPE_CHECKING:
    from mistudio_pipelines.api.context import ApiContext
    from mistudio_pipelines.api.snapshots import Snapshot
    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.statistics_model import DatasetStatistics

Value = TypeVar("Value")


async def snapshot_with(context: ApiContext, dataset_id: str) -> Snapshot:
    """A snapshot that has a dataset.

    Raises:
        MistudioError: `unknown_dataset`, `invalid_id`.
    """
    from mistudio_pipelines.store.ids import check_dataset_id

    check_dataset_id(dataset_id)
    snapshot = await context.snapshots.get()
    if dataset_id not in snapshot.by_id and context.store.record(dataset_id).exists():
        snapshot = await context.snapshots.get(most_seconds_old=0)  # it was added a moment ago
    if dataset_id not in snapshot.by_id:
        raise MistudioError(
            ErrorCode.UNKNOWN_DATASET,
            f"There is no dataset {dataset_id}.",
            "The list of datasets shows which there are.",
        )
    return snapshot


async def require_dataset(context: ApiContext, dataset_id: str) -> None:
    """Refuse an id that no dataset has; quick, because a dataset with a record needs no look at Dagster.

    Raises:
        MistudioError: `unknown_dataset`, `invalid_id`.
    """
    if not context.store.record(dataset_id).exists():
        await snapshot_with(context, dataset_id)


def choose_datasets(
    snapshot: Snapshot, *, status: str | None = None, source: str | None = None, search: str | None = None
) -> list[DatasetOverview]:
    """The datasets of a snapshot that fit, most recent first.

    Args:
        snapshot: All of them.
        status: Only those with this status.
        source: Only `HuggingFace` or `Local` ones.
        search: Only those whose name, id or description contains this, whatever the case.
    """
    wanted = (search or "").strip().casefold()
    kind = None if source is None else source.lower()
    return [
        one
        for one in snapshot.overviews
        if (status is None or one.status.status == status)
        and (kind is None or one.record.source == kind)
        and (not wanted or wanted in f"{one.record.name}\n{one.record.id}\n{one.record.description or ''}".casefold())
    ]


def page_of_datasets(
    store: DataStore, snapshot: Snapshot, chosen: list[DatasetOverview], page: int, limit: int
) -> Paged[DatasetSummary]:
    """A page of the list."""
    shown = chosen[(page - 1) * limit : page * limit]
    return Paged(
        data=[summarize(store, snapshot, one) for one in shown], pagination=Pagination.of(page, limit, len(chosen))
    )


def summarize(store: DataStore, snapshot: Snapshot, overview: DatasetOverview) -> DatasetSummary:
    """A line of the list."""
    return describing.summary(overview, _numbers(store, overview.record.id), _seconds_left(snapshot, overview))


def read_detail(store: DataStore, snapshot: Snapshot, dataset_id: str) -> DatasetDetail:
    """A dataset with all that is known of it; it must be in the snapshot."""
    overview = snapshot.by_id[dataset_id]
    return describing.detail(store, overview, _statistics_or_none(store, dataset_id), _seconds_left(snapshot, overview))


def read_full_statistics(store: DataStore, dataset_id: str) -> FullStatistics:
    """The statistics of a dataset.

    Raises:
        MistudioError: `data_missing` where there are none yet, `data_corrupt`.
    """
    from mistudio_pipelines.store.condition import read_condition
    from mistudio_pipelines.text.statistics_model import read_statistics
    from mistudio_pipelines.tokenization.proof import read_tokenization

    statistics = _statistics_or_none(store, dataset_id) or read_statistics(store, dataset_id)
    condition = read_condition(store, dataset_id)
    storage = {"raw": condition.raw_bytes, "index": statistics.index_bytes}
    for preset in condition.tokenizations:
        storage[preset] = read_tokenization(store, dataset_id, preset).bytes
    return describing.full_statistics(statistics, storage)


def read_tokenizations(store: DataStore, snapshot: Snapshot, dataset_id: str) -> list[DatasetTokenization]:
    """The tokenizations of a dataset by name: finished, being made, failed and damaged."""
    from mistudio_pipelines.defs.partitions import split_pair_key
    from mistudio_pipelines.defs.status import stage_attempt
    from mistudio_pipelines.store.condition import read_condition
    from mistudio_pipelines.tokenization.proof import read_tokenization

    condition = read_condition(store, dataset_id)
    found = {preset: DatasetTokenization(preset=preset, state="damaged") for preset in condition.damaged_tokenizations}
    for preset in condition.tokenizations:
        found[preset] = describing.finished_tokenization(
            read_tokenization(store, dataset_id, preset), str(store.tokenized(dataset_id, preset))
        )
    for key, attempt in snapshot.history.tokenized.attempts.items():
        of_dataset, preset = split_pair_key(key)
        if of_dataset == dataset_id:
            shown = found.get(preset) or DatasetTokenization(preset=preset, state="waiting")
            found[preset] = describing.attempted_tokenization(shown, stage_attempt("tokenization", attempt, preset))
    return [found[preset] for preset in sorted(found)]


def read_storage(context: ApiContext) -> Storage:
    """What takes room, largest first, and what belongs to nothing."""
    from mistudio_pipelines.defs.partitions import DATASETS
    from mistudio_pipelines.store.deletion import stored_bytes
    from mistudio_pipelines.store.orphans import find_orphans
    from mistudio_pipelines.store.records import list_record_ids, read_record, stand_in_record
    from mistudio_pipelines.store.space import free_bytes

    store = context.store

    def name_of(dataset_id: str) -> str:
        try:
            return read_record(store, dataset_id).name
        except MistudioError:
            return stand_in_record(store, dataset_id).name

    datasets = []
    for dataset_id in list_record_ids(store):
        sizes = stored_bytes(store, dataset_id)
        datasets.append(
            StoredDataset(
                id=dataset_id,
                name=name_of(dataset_id),
                raw_bytes=sizes.raw,
                index_bytes=sizes.index,
                tokenized_bytes=sizes.tokenized,
                total_bytes=sizes.total,
            )
        )
    orphans = find_orphans(store, context.instance.get_dynamic_partitions(str(DATASETS.name)))
    return Storage(
        free_bytes=free_bytes(store.root),
        used_bytes=sum(one.total_bytes for one in datasets),
        uploads_bytes=context.uploads.bytes(),
        datasets=sorted(datasets, key=lambda one: -one.total_bytes),
        orphans=[
            OrphanedPath(
                path=str(one.path.relative_to(store.root)).encode("utf-8", "replace").decode(),
                kind=one.kind,
                dataset_id=one.dataset_id,
                bytes=one.bytes,
            )
            for one in orphans
        ],
    )


def read_deletion_plan(context: ApiContext, dataset_id: str, preset: str | None = None) -> DeletionPlan:
    """What a deletion would remove, and who stands against it.

    Raises:
        MistudioError: `unknown_dataset`, `unknown_preset`.
    """
    from mistudio_pipelines.defs.deletion import plan_deletion

    plan = plan_deletion(context.instance, context.store, dataset_id, preset)
    whole = preset is None
    return DeletionPlan(
        dataset_id=dataset_id,
        name=plan.name,
        tokenization=preset,
        raw_bytes=plan.stored.raw if whole else 0,
        index_bytes=plan.stored.index if whole else 0,
        tokenized_bytes=plan.stored.tokenized if preset is None else {preset: plan.bytes},
        freed_bytes=plan.bytes,
        used_by=list(plan.users),
        active_job_ids=list(plan.active_runs),
    )


def _statistics_or_none(store: DataStore, dataset_id: str) -> DatasetStatistics | None:
    """The statistics where they are there and can be read; what is wrong with them is the status's to say."""
    from mistudio_pipelines.text.statistics_model import DatasetStatistics

    return _remembered(store, dataset_id, DatasetStatistics.model_validate_json)


def _numbers(store: DataStore, dataset_id: str) -> describing.Numbers | None:
    return _remembered(store, dataset_id, _parse_numbers)


def _parse_numbers(content: bytes) -> describing.Numbers:
    from mistudio_pipelines.text.statistics_model import DatasetStatistics

    statistics = DatasetStatistics.model_validate_json(content)
    return describing.Numbers(statistics.total.samples, statistics.total.tokens, statistics.computed_at)


def _remembered(store: DataStore, dataset_id: str, parse: Callable[[bytes], Value]) -> Value | None:
    try:
        return read_remembered(store.names(dataset_id).statistics, parse)
    except (OSError, ValueError):
        return None


def _seconds_left(snapshot: Snapshot, overview: DatasetOverview) -> float | None:
    run_id = overview.status.run_id
    return None if run_id is None else describing.seconds_left_of(snapshot.attempts_by_run.get(run_id))
