"""Tokenizing a dataset: encode the shards, lay out the rows, write the files, publish the folder.

What belongs here: the order of the steps, resuming, and publishing. What does not: any step itself.

Encoding shards and writing files run on an executor; laying out the rows between them is sequential and cheap. What
comes out is the same whatever the number of workers, and after any resume.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.sharding import Report, Task, executor_or_threads, read_notes, run_tasks
from mistudio_pipelines.store.atomic import publish_folder, recover_folder
from mistudio_pipelines.store.damage import is_damaged
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.tokenization.assembly import AssembleTask, FileReport, assemble_file, finished_file
from mistudio_pipelines.tokenization.document_encoder import EngineSetup
from mistudio_pipelines.tokenization.encoding import EncodeTask, encode_shard
from mistudio_pipelines.tokenization.engine_choice import EngineChoice, plan_engine
from mistudio_pipelines.tokenization.engine_proof import withdraw_proof
from mistudio_pipelines.tokenization.laying_out import SplitLayout, lay_out_split
from mistudio_pipelines.tokenization.output import file_tasks, width_of, write_descriptions
from mistudio_pipelines.tokenization.pieces import PieceReport, piece_is_intact, read_report
from mistudio_pipelines.tokenization.planning import InputShard, Plan, fingerprint_of, make_plan
from mistudio_pipelines.tokenization.presets import TokenizationPreset, load_preset
from mistudio_pipelines.tokenization.proof import missing_files, read_tokenization
from mistudio_pipelines.tokenization.results import TOKENIZATION_NAME, Tokenization, TokenizationResult
from mistudio_pipelines.tokenization.statistics import LengthCounts
from mistudio_pipelines.tokenization.streams import PieceNeeds

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
        self.remove_leftovers()
        self.stop_file.unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Remove what workers left that were killed."""
        for pattern in (".work/pieces/*.progress", ".work/pieces/*.tmp", "data/.*.tmp", "sources/.*.tmp"):
            for left in self.folder.glob(pattern):
                left.unlink(missing_ok=True)


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
        run = _Run(store, plan, place, workers, on_progress, should_stop)
        choice, pieces = run.encode()
        lengths = LengthCounts()
        layouts = run.lay_out(pieces, lengths)
        width = width_of(plan, layouts)
        tasks = [task for layout in layouts for task in file_tasks(plan, layout, width, place.folder, place.stop_file)]
        files = run.write(tasks, choice)
    tokenization = write_descriptions(
        plan, choice, pieces, layouts, tasks, files, lengths, place.folder, time.monotonic() - began
    )
    place.remove_leftovers()
    shutil.rmtree(place.work)
    publish_folder(place.folder, store.tokenized(manifest.dataset_id, preset.name))
    return tokenization


def _unchanged(store: DataStore, dataset_id: str, preset_name: str, fingerprint: str) -> Tokenization | None:
    folder = store.tokenized(dataset_id, preset_name)
    if not (folder / TOKENIZATION_NAME).exists():
        return None
    try:
        existing = read_tokenization(store, dataset_id, preset_name)
    except MistudioError:  # damaged: made again
        return None
    if existing.fingerprint != fingerprint or missing_files(folder, existing) or is_damaged(folder):
        return None
    return existing


@dataclass(frozen=True)
class _Run:
    """The three steps of one run, in order."""

    store: DataStore
    plan: Plan
    place: _Workplace
    workers: Executor
    on_progress: ProgressCallback
    should_stop: ShouldStop

    @property
    def _tokens_are_removed_early(self) -> bool:
        """Shuffled rows need any piece until the end; rows of one document each are laid out from tokens."""
        return self.plan.preset.shuffle_seed is None and self.plan.preset.mode != "per_document"

    def encode(self) -> tuple[EngineChoice, list[PieceReport]]:
        """Encode every shard that no earlier run has finished; returns the pieces in the order of the shards."""
        pieces, plan = self.place.pieces, self.plan
        reports = {report.shard: report for shard in plan.shards if (report := self._finished_piece(shard)) is not None}
        choice = plan_engine(self.store, plan, self.on_progress, self.should_stop)
        total = sum(shard.documents for shard in plan.shards)

        def tell() -> None:
            done, tokens = read_notes(pieces, 2)
            tokens += sum(report.tokens_encoded for report in reports.values())
            done += sum(report.documents for report in reports.values())
            self.on_progress(Progress(min(done, total), total, "rows", f"encoding ({tokens:,} tokens so far)"))

        missing = [shard for shard in plan.shards if shard.number not in reports]
        tell()
        self._run(encode_shard, self._encode_tasks(missing, choice), lambda one: reports.update({one.shard: one}), tell)
        differences = [report.difference for report in reports.values() if report.difference is not None]
        if differences:
            why = f"it gave other ids for sample {differences[0]} of dataset {plan.manifest.dataset_id}"
            withdraw_proof(self.store, plan.identity.sha256, "fastokens", "tokenizers", why)
        return choice, [reports[shard.number] for shard in plan.shards]

    def _finished_piece(self, shard: InputShard) -> PieceReport | None:
        """The report of a piece that an earlier run finished, after checking its bytes."""
        if self.should_stop():
            raise Stopped("Tokenization")
        report = read_report(self.place.pieces, shard.number, self.plan.work_fingerprint)
        may_be_gone = self._tokens_are_removed_early
        if report is None or not piece_is_intact(self.place.pieces, report, tokens_may_be_gone=may_be_gone):
            return None
        return report

    def _encode_tasks(self, shards: Sequence[InputShard], choice: EngineChoice) -> list[EncodeTask]:
        plan = self.plan
        engines = EngineSetup(
            store_root=self.store.root,
            tokenizer=plan.preset.tokenizer,
            revision=plan.preset.tokenizer_revision,
            token_name=plan.preset.token_name,
            backend_file=plan.backend_file,
            engine=choice.engine,
            add_special_tokens=plan.encode_specials,
            call_backend=choice.call_backend,
            differing_characters=choice.differing_characters,
        )
        return [
            EncodeTask(
                shard=shard.number,
                split=shard.split,
                fingerprint=plan.work_fingerprint,
                raw_folder=self.store.raw(plan.manifest.dataset_id),
                row_groups=shard.row_groups,
                pieces_folder=self.place.pieces,
                engines=engines,
                item_bytes=plan.item_bytes,
                separator=plan.policy.separator,
                begin=plan.policy.begin if plan.preset.mode == "packed" else None,
                head=plan.policy.head if plan.preset.mode == "packed" else None,
                skip_invalid=plan.preset.skip_invalid,
                stop_file=self.place.stop_file,
            )
            for shard in shards
        ]

    def lay_out(self, pieces: Sequence[PieceReport], lengths: LengthCounts) -> list[SplitLayout]:
        """Lay out the rows of each split; takes in the lengths of documents."""
        return [
            lay_out_split(
                split,
                [report for report in pieces if report.split == split],
                self.place.pieces,
                self.place.work / f"rows-{number}.bin",
                self.plan.policy,
                lengths,
                self.should_stop,
            )
            for number, split in enumerate(self.plan.splits)
        ]

    def write(self, tasks: Sequence[AssembleTask], choice: EngineChoice) -> dict[str, FileReport]:
        """Write every file that no earlier run has finished; returns the reports by name."""
        reports = {task.name: report for task in tasks if (report := self._finished_file(task)) is not None}
        missing = [task for task in tasks if task.name not in reports]
        needs = PieceNeeds(self.place.pieces)
        if self._tokens_are_removed_early:
            for task in missing:
                needs.add(task.name, task.shards())
            missing_pieces = needs.missing()
            gone = [shard for shard in self.plan.shards if shard.number in missing_pieces]
            self._run(encode_shard, self._encode_tasks(gone, choice), lambda _: None, lambda: None)
        total = sum(task.end_row - task.first_row for task in tasks)

        def tell() -> None:
            done = sum(report.rows for report in reports.values())
            self.on_progress(Progress(done, total, "rows", "writing"))

        def take(report: FileReport) -> None:
            reports[report.name] = report
            needs.written(report.name)

        tell()
        self._run(assemble_file, missing, take, tell)
        return reports

    def _finished_file(self, task: AssembleTask) -> FileReport | None:
        if self.should_stop():
            raise Stopped("Tokenization")
        return finished_file(task)

    def _run(
        self,
        function: Callable[[Task], Report],
        tasks: Sequence[Task],
        on_report: Callable[[Report], None],
        on_idle: Callable[[], None],
    ) -> None:
        run_tasks(
            self.workers,
            function,
            tasks,
            on_report,
            stop_file=self.place.stop_file,
            should_stop=self.should_stop,
            on_idle=on_idle,
        )
