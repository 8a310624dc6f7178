"""Tokenizing a dataset: encode the shards, lay out the rows, write the files, publish the folder.

What belongs here: the order of the steps, resuming, and publishing. What does not: any step itself.

Encoding shards and writing files run on an executor; laying out the rows between them is sequential and cheap. What
comes out is the same whatever the number of workers, and after any resume.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.atomic import publish_folder, recover_folder
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.tokenization.assembly import AssembleTask, FileReport, assemble_file, finished_file
from mistudio_pipelines.tokenization.encoding import EncodeTask, EngineSetup, encode_shard
from mistudio_pipelines.tokenization.engine_choice import EngineChoice
from mistudio_pipelines.tokenization.laying_out import SplitLayout, lay_out_split
from mistudio_pipelines.tokenization.output import file_tasks, width_of, write_descriptions
from mistudio_pipelines.tokenization.pieces import PieceReport, piece_is_intact, read_progress, read_report
from mistudio_pipelines.tokenization.planning import Plan, fingerprint_of, make_plan, plan_engine
from mistudio_pipelines.tokenization.presets import TokenizationPreset, load_preset
from mistudio_pipelines.tokenization.proof import missing_files, read_tokenization
from mistudio_pipelines.tokenization.results import TOKENIZATION_NAME, Tokenization, TokenizationResult
from mistudio_pipelines.tokenization.statistics import LengthCounts
from mistudio_pipelines.tokenization.workers import executor_or_threads, run_tasks

_STOP_NAME = "stop"


@dataclass(frozen=True)
class _Workplace:
    """Where an unfinished tokenization lies."""

    folder: Path

    @property
    def work(self) -> Path:
        """What is removed before the folder is published."""
        return self.folder / ".work"

    @property
    def pieces(self) -> Path:
        return self.work / "pieces"

    @property
    def stop_file(self) -> Path:
        return self.work / _STOP_NAME

    def prepare(self, fingerprint: str) -> None:
        """Keep what an earlier run of the same plan left, remove what another left."""
        stamp = self.work / "fingerprint"
        if not stamp.exists() or stamp.read_text() != fingerprint:
            shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.pieces, self.folder / "data", self.folder / "sources"):
            folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(fingerprint)
        self.stop_file.unlink(missing_ok=True)


def tokenize_dataset(
    store: DataStore,
    dataset_id: str,
    preset_name: str,
    *,
    executor: Executor | None = None,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> TokenizationResult:
    """Tokenize a raw dataset with a saved preset.

    Finished shards of an earlier run are kept after checking them. Nothing is done where the raw data, the preset
    and the code are what they were. The caller holds the lock of this tokenization (`store.locks`).

    Args:
        store: The data folder.
        dataset_id: The dataset; its raw files must be there.
        preset_name: The saved preset.
        executor: Where shards are encoded and written; threads on all cores otherwise. Processes and other machines
            must see the data folder under the same path.
        on_progress: Told a few times a second.
        should_stop: Polled a few times a second.

    Raises:
        MistudioError: `data_missing`, `unknown_preset`, `unknown_split_or_config`, `tokenization_failed` and the
            errors of loading a tokenizer.
        Stopped: Where `should_stop` said so; finished shards are kept.
    """
    preset = load_preset(store, preset_name)
    manifest = read_manifest(store.raw(dataset_id))
    recover_folder(store.tokenized(dataset_id, preset_name))
    existing = _unchanged(store, dataset_id, preset_name, fingerprint_of(manifest, preset))
    if existing is not None:
        return TokenizationResult(existing, unchanged=True)
    try:
        tokenization = _tokenize(store, manifest, preset, executor, on_progress, should_stop)
    except OSError as error:
        raise _disk_error(dataset_id, error) from error
    return TokenizationResult(tokenization, unchanged=False)


def _disk_error(dataset_id: str, error: OSError) -> Exception:
    """A full disk as the sentence that a person sees; other errors as they are."""
    if error.errno != errno.ENOSPC and "No space left" not in str(error):
        return error
    return MistudioError(
        ErrorCode.INSUFFICIENT_STORAGE,
        f"The disk is full: dataset {dataset_id} could not be tokenized to the end.",
        "Free some space and start it again: finished shards are kept.",
    )


def _tokenize(
    store: DataStore,
    manifest: Manifest,
    preset: TokenizationPreset,
    executor: Executor | None,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> Tokenization:
    began = time.monotonic()
    plan = make_plan(store, manifest, preset)
    place = _Workplace(store.tokenized_partial(manifest.dataset_id, preset.name))
    place.prepare(plan.work_fingerprint)
    with executor_or_threads(executor) as workers:
        choice, pieces = _encode_all(store, plan, place, workers, on_progress, should_stop)
        lengths = LengthCounts()
        layouts = _lay_out_all(plan, pieces, place, lengths, should_stop)
        width = width_of(plan, layouts)
        tasks = [task for layout in layouts for task in file_tasks(plan, layout, width, place.folder, place.stop_file)]
        files = _assemble_all(tasks, workers, place, on_progress, should_stop)
    tokenization = write_descriptions(
        plan, choice, pieces, layouts, tasks, files, lengths, place.folder, time.monotonic() - began
    )
    shutil.rmtree(place.work)
    publish_folder(place.folder, store.tokenized(manifest.dataset_id, preset.name))
    return tokenization


def _unchanged(store: DataStore, dataset_id: str, preset_name: str, fingerprint: str) -> Tokenization | None:
    folder = store.tokenized(dataset_id, preset_name)
    if not (folder / TOKENIZATION_NAME).exists():
        return None
    existing = read_tokenization(store, dataset_id, preset_name)
    if existing.fingerprint != fingerprint or missing_files(folder, existing):
        return None
    return existing


def _encode_all(
    store: DataStore,
    plan: Plan,
    place: _Workplace,
    workers: Executor,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> tuple[EngineChoice, list[PieceReport]]:
    """Encode every shard that no earlier run has finished; returns the pieces in the order of the shards."""
    found = [read_report(place.pieces, shard.number, plan.work_fingerprint) for shard in plan.shards]
    reports = {report.shard: report for report in found if report and piece_is_intact(place.pieces, report)}
    choice = plan_engine(store, plan, on_progress, should_stop)
    total = sum(shard.documents for shard in plan.shards)

    def tell() -> None:
        done, tokens = read_progress(place.pieces)
        tokens += sum(report.tokens_encoded for report in reports.values())
        done += sum(report.documents for report in reports.values())
        on_progress(Progress(done, total, "rows", f"encoding ({tokens:,} tokens so far)"))

    tell()
    tasks = [task for task in _encode_tasks(store, plan, place, choice) if task.shard not in reports]
    run_tasks(
        workers,
        encode_shard,
        tasks,
        lambda report: reports.update({report.shard: report}),
        stop_file=place.stop_file,
        should_stop=should_stop,
        on_idle=tell,
    )
    return choice, [reports[shard.number] for shard in plan.shards]


def _encode_tasks(store: DataStore, plan: Plan, place: _Workplace, choice: EngineChoice) -> Iterator[EncodeTask]:
    engines = EngineSetup(
        store_root=store.root,
        tokenizer=plan.preset.tokenizer,
        revision=plan.preset.tokenizer_revision,
        token_name=plan.preset.token_name,
        backend_file=plan.backend_file,
        engine=choice.engine,
        add_special_tokens=plan.encode_specials,
        differing_characters=choice.differing_characters,
    )
    for shard in plan.shards:
        yield EncodeTask(
            shard=shard.number,
            split=shard.split,
            fingerprint=plan.work_fingerprint,
            raw_folder=store.raw(plan.manifest.dataset_id),
            row_groups=shard.row_groups,
            pieces_folder=place.pieces,
            engines=engines,
            item_bytes=plan.item_bytes,
            separator=plan.policy.separator,
            begin=plan.policy.begin if plan.preset.mode == "packed" else None,
            head=plan.policy.head if plan.preset.mode == "packed" else None,
            skip_invalid=plan.preset.skip_invalid,
            stop_file=place.stop_file,
        )


def _lay_out_all(
    plan: Plan, pieces: list[PieceReport], place: _Workplace, lengths: LengthCounts, should_stop: ShouldStop
) -> list[SplitLayout]:
    return [
        lay_out_split(
            split,
            [report for report in pieces if report.split == split],
            place.pieces,
            place.work / f"rows-{number}.bin",
            plan.policy,
            lengths,
            should_stop,
        )
        for number, split in enumerate(plan.splits)
    ]


def _assemble_all(
    tasks: list[AssembleTask],
    workers: Executor,
    place: _Workplace,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> dict[str, FileReport]:
    """Write every file that no earlier run has finished; returns the reports by name."""
    reports = {task.name: report for task in tasks if (report := finished_file(task)) is not None}
    total = sum(task.end_row - task.first_row for task in tasks)

    def tell() -> None:
        done = sum(report.rows for report in reports.values())
        on_progress(Progress(done, total, "rows", "writing"))

    tell()
    missing = [task for task in tasks if task.name not in reports]
    run_tasks(
        workers,
        assemble_file,
        missing,
        lambda report: reports.update({report.name: report}),
        stop_file=place.stop_file,
        should_stop=should_stop,
        on_idle=tell,
    )
    return reports
