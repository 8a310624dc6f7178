"""The files of a finished tokenization: which file holds which rows, and the descriptions beside them.

What belongs here: names, sizes, `tokenization.json`, `dataset_info.json`, `sae_lens.json`. What does not: the rows
themselves (`assembly.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mistudio_pipelines import __version__
from mistudio_pipelines.store.atomic import fsync_file, fsync_folder, write_json
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.store.records import now
from mistudio_pipelines.store.space import folder_bytes
from mistudio_pipelines.tokenization.assembly import AssembleTask, FileReport
from mistudio_pipelines.tokenization.companions import dataset_info, sae_lens_metadata
from mistudio_pipelines.tokenization.engine_choice import EngineChoice
from mistudio_pipelines.tokenization.gathering import RowFrame
from mistudio_pipelines.tokenization.laying_out import PieceRows, SplitLayout
from mistudio_pipelines.tokenization.pieces import PieceReport
from mistudio_pipelines.tokenization.planning import Plan
from mistudio_pipelines.tokenization.results import (
    TOKENIZATION_CODE_VERSION,
    TOKENIZATION_NAME,
    Counts,
    EngineReport,
    ShardCounts,
    Source,
    TokenFile,
    Tokenization,
)
from mistudio_pipelines.tokenization.statistics import LengthCounts, token_statistics

FILE_TOKENS = 1 << 24
COUNTS_NAME = "token_counts.npy"
DATASET_INFO_NAME = "dataset_info.json"
SAE_LENS_NAME = "sae_lens.json"


def width_of(plan: Plan, layouts: Sequence[SplitLayout]) -> int | None:
    """Tokens in each row, padding included, or None for rows of different length."""
    if plan.preset.mode != "padded":
        return plan.preset.row_size
    if plan.preset.padding == "do_not_pad":
        return None
    if plan.preset.padding == "max_length":
        return plan.preset.row_size
    return max([1, *(layout.widest for layout in layouts)])


def file_tasks(
    plan: Plan, layout: SplitLayout, width: int | None, folder: Path, stop_file: Path
) -> Iterator[AssembleTask]:
    """The files of a split. A split without rows has one file, so that it can be loaded.

    Args:
        plan: The plan.
        layout: The split's rows.
        width: Tokens in each row, or None (see `width_of`).
        folder: The folder that becomes the tokenization.
        stop_file: Tells workers to stop.
    """
    in_row = width or max(1, layout.tokens // max(1, layout.rows))
    rows_in_file = max(1, FILE_TOKENS // in_row)
    count = max(1, -(-layout.rows // rows_in_file))
    policy = plan.policy
    frame = RowFrame(
        width=width,
        prefix=np.array(policy.prefix, np.uint32),
        suffix=np.array(policy.suffix, np.uint32),
        pad_id=policy.pad_id or 0,
        pad_side="left" if policy.pad_side == "left" else "right",
    )
    for number in range(count):
        yield AssembleTask(
            fingerprint=plan.work_fingerprint,
            split=layout.split,
            name=f"{layout.split}-{number:05d}-of-{count:05d}.parquet",
            first_row=number * rows_in_file,
            end_row=min(layout.rows, (number + 1) * rows_in_file),
            total_rows=layout.rows,
            shuffle_seed=plan.preset.shuffle_seed,
            rows_file=layout.rows_file,
            pieces_folder=folder / ".work" / "pieces",
            spans=tuple(layout.spans),
            item_bytes=plan.item_bytes,
            frame=frame,
            ragged=width is None,
            with_mask=plan.preset.mode == "padded",
            column=plan.preset.column_name,
            dtype=plan.preset.dtype,
            vocabulary_size=plan.identity.vocabulary_size,
            keep_sources=plan.preset.keep_sources,
            folder=folder,
            stop_file=stop_file,
        )


def write_descriptions(
    plan: Plan,
    choice: EngineChoice,
    pieces: Sequence[PieceReport],
    layouts: Sequence[SplitLayout],
    tasks: Sequence[AssembleTask],
    files: dict[str, FileReport],
    lengths: LengthCounts,
    folder: Path,
    seconds: float,
) -> Tokenization:
    """Write everything beside the rows; `tokenization.json` last.

    Returns:
        The content of `tokenization.json`.
    """
    id_counts = np.zeros(plan.identity.vocabulary_size, np.int64)
    for task in tasks:
        id_counts += np.load(task.counts_path)
    np.save(folder / COUNTS_NAME, id_counts.astype(np.uint64))
    fsync_file(folder / COUNTS_NAME)
    token_files = tuple(_token_file(task, files[task.name]) for task in tasks)
    by_split = {layout.split: _split_counts(layout, pieces, token_files) for layout in layouts}
    counts = sum(by_split.values(), Counts())
    width = width_of(plan, layouts)
    write_json(folder / DATASET_INFO_NAME, dataset_info(plan, width, by_split, token_files))
    write_json(folder / SAE_LENS_NAME, sae_lens_metadata(plan.manifest, plan.preset))
    for name in ("data", "sources"):
        if (folder / name).exists():
            fsync_folder(folder / name)
    work_bytes = folder_bytes(folder / ".work")
    tokenization = Tokenization(
        code_version=TOKENIZATION_CODE_VERSION,
        fingerprint=plan.fingerprint,
        dataset_id=plan.manifest.dataset_id,
        source=_source(plan.manifest),
        preset=plan.preset,
        tokenizer=plan.identity,
        pad_id=plan.policy.pad_id,
        width=width,
        engine=_engine_report(choice, pieces),
        libraries={name: version(name) for name in ("transformers", "tokenizers", "fastokens", "pyarrow", "numpy")}
        | {"mistudio-pipelines": __version__},
        counts=counts,
        counts_by_split=by_split,
        shards=tuple(
            _shard_counts(report, piece)
            for layout in layouts
            for report, piece in zip(_of_split(pieces, layout.split), layout.by_piece, strict=True)
        ),
        files=token_files,
        statistics=token_statistics(
            lengths,
            id_counts,
            lambda token: _decoded(plan, token),
            plan.identity.special_tokens,
            text_bytes=counts.text_bytes,
            tokens_encoded=counts.tokens_encoded,
            padded=counts.padded,
            counts_file=COUNTS_NAME,
        ),
        bytes=folder_bytes(folder) - work_bytes,
        seconds=seconds,
        created_at=now(),
    )
    write_json(folder / TOKENIZATION_NAME, tokenization.model_dump(mode="json"))
    return tokenization


def _decoded(plan: Plan, token: int) -> str:
    text: str = plan.tokenizer.decode([token])
    return text


def _of_split(pieces: Sequence[PieceReport], split: str) -> list[PieceReport]:
    return [report for report in pieces if report.split == split]


def _token_file(task: AssembleTask, report: FileReport) -> TokenFile:
    return TokenFile(
        path=f"data/{task.name}",
        split=task.split,
        rows=report.rows,
        tokens=report.tokens,
        padded=report.padded,
        size=report.size,
        sha256=report.sha256,
        sources=f"sources/{task.name}" if report.sources_sha256 else None,
        sources_sha256=report.sources_sha256,
    )


def _split_counts(layout: SplitLayout, pieces: Sequence[PieceReport], files: Sequence[TokenFile]) -> Counts:
    of_split = _of_split(pieces, layout.split)
    written = [file for file in files if file.split == layout.split]
    from_encoding = (
        "documents",
        "nulls",
        "skipped",
        "empty",
        "replaced_characters",
        "text_bytes",
        "tokens_encoded",
    )
    return Counts(
        **{name: sum(getattr(report, name) for report in of_split) for name in from_encoding},
        specials_added=layout.specials,
        repeated=layout.repeated,
        tail=sum(piece.tail for piece in layout.by_piece),
        truncated=sum(piece.truncated for piece in layout.by_piece),
        dropped=sum(piece.dropped for piece in layout.by_piece),
        rows=sum(file.rows for file in written),
        row_tokens=sum(file.tokens for file in written),
        padded=sum(file.padded for file in written),
    )


def _shard_counts(report: PieceReport, piece: PieceRows) -> ShardCounts:
    return ShardCounts(
        shard=report.shard,
        split=report.split,
        documents=report.documents,
        nulls=report.nulls,
        skipped=report.skipped,
        empty=report.empty,
        tokens_encoded=report.tokens_encoded,
        specials_added=report.separators + report.begins,
        stream_length=report.stream_length,
        rows=piece.rows,
        tail=piece.tail,
        truncated=piece.truncated,
        dropped=piece.dropped,
        engines=report.documents_by_engine,
        checked=report.checked,
        difference=report.difference,
    )


def _engine_report(choice: EngineChoice, pieces: Sequence[PieceReport]) -> EngineReport:
    documents: dict[str, int] = {}
    for report in pieces:
        for name, count in report.documents_by_engine.items():
            documents[name] = documents.get(name, 0) + count
    return EngineReport(
        engine=choice.engine,
        version=choice.version,
        reason=choice.reason,
        documents=documents,
        checked=sum(report.checked for report in pieces),
        differing_characters=len(choice.differing_characters),
        differences=tuple(report.difference for report in pieces if report.difference is not None),
    )


def _source(manifest: Manifest) -> Source:
    return Source(
        repository=manifest.repository,
        config=manifest.config,
        revision=manifest.revision,
        text_column=manifest.text_column,
        files={file.path: file.sha256 for file in manifest.files},
    )
