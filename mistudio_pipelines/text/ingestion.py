"""The one pass over the texts of a dataset that makes its statistics and its sample index.

What belongs here: the order of the pass, when it is needed at all, and publishing what it made. What does not: the
arithmetic (`statistics.py`), the files of the index (`sample_index.py`).

Nothing of a pass is visible before its end. The index folder is renamed into place first, the statistics file then;
both carry the fingerprint of what they were made from, so a crash between the two is seen and made good by the next
pass. A pass that was cut short starts again from the first text.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.sharding import read_notes, run_tasks
from mistudio_pipelines.store.atomic import publish_folder, recover_folder
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, dataset_lock
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.store.records import now
from mistudio_pipelines.text.adding_up import DatasetTexts, add_up
from mistudio_pipelines.text.fingerprint import (
    INDEX_CODE_VERSION,
    STATISTICS_CODE_VERSION,
    Fingerprint,
    fingerprint_of,
)
from mistudio_pipelines.text.ingestion_shards import (
    IngestionTask,
    RowGroups,
    ShardTexts,
    ingest_shard,
    plan_ingestion,
    read_texts,
)
from mistudio_pipelines.text.reading import list_row_groups, read_samples
from mistudio_pipelines.text.sample_index import (
    IndexSummary,
    check_index,
    read_index_summary,
)
from mistudio_pipelines.text.sample_index_parts import make_index
from mistudio_pipelines.text.sample_index_writer import SampleIndexWriter
from mistudio_pipelines.text.statistics import SplitTexts
from mistudio_pipelines.text.statistics_model import (
    DatasetStatistics,
    check_statistics,
    read_statistics,
    write_statistics,
)

__all__ = ["INDEX_CODE_VERSION", "STATISTICS_CODE_VERSION", "IngestionResult", "ingest"]

FIRST_SAMPLES: Final = 10
_PREVIEW_CHARACTERS: Final = 200
# Inside the partial folder: what becomes the index.
_INDEX: Final = "index"
_PART: Final = "part"
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class IngestionResult:
    """What a pass made, or found made.

    Attributes:
        statistics: The statistics.
        index: What the index says of itself.
        unchanged: True where nothing had to be made again.
        first_samples: The first samples: `number`, `split`, `tokens`, `text` (its beginning).
    """

    statistics: DatasetStatistics
    index: IndexSummary
    unchanged: bool
    first_samples: list[dict[str, Any]]


def ingest(
    store: DataStore,
    dataset_id: str,
    *,
    executor: Executor | None = None,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> IngestionResult:
    """Make statistics and index of a dataset, where they are not there, are damaged, or were made from other data.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset; its raw files must be there.
        executor: Where shards of the dataset are read side by side; without one, the texts are read here. What is
            made is the same. Workers elsewhere must see the data folder under the same path.
        on_progress: Told the bytes of text that were read.
        should_stop: Polled several times a second.

    Raises:
        MistudioError: `data_missing` or `data_corrupt` where the raw files are not there or damaged; `busy` where they
            were replaced during the pass.
        Stopped: As soon as `should_stop` says so.
    """
    with ExitStack() as held:
        _wait_for_lock(held, store, dataset_id, should_stop)
        recover_folder(store.index(dataset_id))
        manifest = read_manifest(store.raw(dataset_id))
        fingerprint = fingerprint_of(store, dataset_id, manifest)
        found = _find_finished(store, dataset_id, manifest, fingerprint)
        if found is None:
            statistics, index = _make(store, dataset_id, manifest, fingerprint, executor, on_progress, should_stop)
        else:
            statistics, index = found
        samples = _first_samples(store.raw(dataset_id), manifest)
        return IngestionResult(statistics, index, found is not None, samples)


def find_ingested(store: DataStore, dataset_id: str) -> IngestionResult | None:
    """Statistics and index that are there and belong to the raw files, or None where they would have to be made.

    Raises:
        MistudioError: As `ingest`.
    """
    manifest = read_manifest(store.raw(dataset_id))
    found = _find_finished(store, dataset_id, manifest, fingerprint_of(store, dataset_id, manifest))
    if found is None:
        return None
    return IngestionResult(*found, unchanged=True, first_samples=_first_samples(store.raw(dataset_id), manifest))


def _wait_for_lock(held: ExitStack, store: DataStore, dataset_id: str, should_stop: ShouldStop) -> None:
    """Wait until no other run indexes the dataset: what it makes is what we want too."""
    while True:
        try:
            held.enter_context(dataset_lock(store, dataset_id, INDEX_PART, "being indexed", wait_seconds=_POLL_SECONDS))
            return
        except MistudioError as error:
            if error.code != ErrorCode.BUSY:
                raise
            if should_stop():
                raise Stopped("Waiting for another run that indexes the dataset") from error


def _find_finished(
    store: DataStore, dataset_id: str, manifest: Manifest, fingerprint: Fingerprint
) -> tuple[DatasetStatistics, IndexSummary] | None:
    """Statistics and index that still hold, or None where a pass is needed."""
    try:
        statistics = read_statistics(store, dataset_id)
        index = read_index_summary(store, dataset_id)
    except MistudioError:
        return None  # missing or damaged: made again
    if statistics.fingerprint != fingerprint or index.fingerprint != fingerprint:
        return None
    if check_statistics(statistics, manifest) or check_index(store, dataset_id):
        return None
    return statistics, index


def _make(
    store: DataStore,
    dataset_id: str,
    manifest: Manifest,
    fingerprint: Fingerprint,
    executor: Executor | None,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> tuple[DatasetStatistics, IndexSummary]:
    started = time.monotonic()
    raw = store.raw(dataset_id)
    partial = store.index_partial(dataset_id)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        index, counted = _read_all(raw, manifest, partial, fingerprint, executor, on_progress, should_stop)
        statistics = DatasetStatistics(
            dataset_id=dataset_id,
            fingerprint=fingerprint,
            computed_at=now(),
            seconds=round(time.monotonic() - started, 3),
            text_column=manifest.text_column,
            total=counted.total,
            splits=counted.by_split,
            columns=counted.columns,
            raw_bytes=manifest.size,
            index_bytes=index.bytes,
        )
        _refuse_what_does_not_hold(store, statistics, manifest, fingerprint)
        publish_folder(partial / _INDEX, store.index(dataset_id))
        write_statistics(store, statistics)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return statistics, index


def _read_all(
    raw: Path,
    manifest: Manifest,
    partial: Path,
    fingerprint: Fingerprint,
    executor: Executor | None,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> tuple[IndexSummary, DatasetTexts]:
    row_groups = list_row_groups(raw, manifest)
    total = sum(group.bytes for group in row_groups)

    def tell(done: int) -> None:
        on_progress(Progress(min(done, total), total, "bytes", "reading texts"))

    ended = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="add-up") as background:

        def add_up_meanwhile(shards: Sequence[Mapping[str, SplitTexts]]) -> Future[DatasetTexts]:
            on_progress(Progress(total, total, "bytes", "adding up"))
            return background.submit(add_up, raw, manifest, shards, lambda: ended.is_set() or should_stop())

        try:
            if executor is None:
                with closing(SampleIndexWriter(partial / _PART, manifest.dataset_id)) as writer:
                    texts = read_texts(raw, manifest, None, partial, writer, tell, should_stop)
                    # The index writes its last segments meanwhile, which leaves a core free.
                    adding_up = add_up_meanwhile([texts])
                    parts = [writer.finish()]
            else:
                shards = _read_shards(raw, plan_ingestion(row_groups), partial, executor, tell, should_stop)
                adding_up = add_up_meanwhile([shard.splits for shard in shards])
                parts = [shard.part for shard in shards]
            index = make_index(parts, partial / _INDEX, manifest.dataset_id, fingerprint)
            return index, adding_up.result()
        finally:
            ended.set()


def _read_shards(
    raw: Path,
    shards: Sequence[RowGroups],
    partial: Path,
    executor: Executor,
    tell: Callable[[int], None],
    should_stop: ShouldStop,
) -> list[ShardTexts]:
    """What the executor's workers made of the shards, in the order of the shards."""
    stop_file = partial / "stop"
    tasks = [IngestionTask(number, raw, groups, partial, stop_file) for number, groups in enumerate(shards)]
    found: list[ShardTexts] = []

    def tell_all() -> None:
        tell(sum(shard.part.text_bytes for shard in found) + read_notes(partial, 1)[0])

    run_tasks(
        executor,
        ingest_shard,
        tasks,
        found.append,
        stop_file=stop_file,
        should_stop=should_stop,
        on_idle=tell_all,
    )
    return sorted(found, key=lambda shard: shard.shard)


def _refuse_what_does_not_hold(
    store: DataStore, statistics: DatasetStatistics, manifest: Manifest, fingerprint: Fingerprint
) -> None:
    dataset_id = manifest.dataset_id
    if fingerprint_of(store, dataset_id, read_manifest(store.raw(dataset_id))) != fingerprint:
        raise MistudioError(
            ErrorCode.BUSY,
            f"The raw files of dataset {dataset_id} were replaced while they were being indexed.",
            "Start it again.",
            transient=True,
        )
    problems = check_statistics(statistics, manifest)
    if problems:
        raise MistudioError(
            ErrorCode.INTERNAL,
            f"The statistics of dataset {dataset_id} do not add up and are not published: {problems[0]}",
            "Please report this, with the dataset.",
            details={"problems": problems},
        )


def _first_samples(raw: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """The first samples of the dataset, with the beginning of their texts."""
    numbers = range(min(FIRST_SAMPLES, manifest.rows))
    texts = read_samples(raw, manifest, numbers, [manifest.text_column])[manifest.text_column].to_pylist()
    splits = [split for split, rows in manifest.rows_by_split.items() for _ in range(min(rows, len(numbers)))]
    return [
        {
            "number": number,
            "split": splits[number],
            "tokens": len((text or "").split()),
            "text": (text or "")[:_PREVIEW_CHARACTERS],
        }
        for number, text in zip(numbers, texts, strict=True)
    ]
