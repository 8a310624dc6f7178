"""Exporting a tokenization for tools that do not read Parquet.

What belongs here: flat binary files, and folders for `datasets.load_from_disk`. What does not: the tokenization
itself, which `datasets.load_dataset(folder)` reads as it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.atomic import fsync_file, publish_folder, write_json
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.output import DATASET_INFO_NAME
from mistudio_pipelines.tokenization.proof import read_tokenization
from mistudio_pipelines.tokenization.results import TokenFile, Tokenization
from mistudio_pipelines.tokenization.row_files import ATTENTION_MASK


def export_flat(
    store: DataStore,
    dataset_id: str,
    preset: str,
    folder: Path,
    *,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[Path]:
    """Write each split as one flat array of ids: `{split}.bin` with `{split}.json` beside.

    The ids are little-endian uint16 where the vocabulary fits, else uint32, row after row. Rows of different length
    have `{split}.bounds.bin` beside: uint64, one more than rows.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        folder: A folder that does not exist yet.
        on_progress: Told for each row group.
        should_stop: Polled for each row group.

    Returns:
        The files written.

    Raises:
        MistudioError: `invalid_config` where the folder exists, `data_missing` where there is no tokenization.
        Stopped: Where `should_stop` said so; nothing is left behind.
    """
    tokenization = read_tokenization(store, dataset_id, preset)
    kind = np.dtype("<u2" if tokenization.tokenizer.vocabulary_size <= 2**16 else "<u4")

    def write(partial: Path, source: _Source) -> None:
        for split in tokenization.rows_by_split:
            _write_flat(partial, split, kind, tokenization, source.columns(split, tokenization.preset.column_name))

    return _export(store, tokenization, folder, write, on_progress, should_stop)


def export_for_load_from_disk(
    store: DataStore,
    dataset_id: str,
    preset: str,
    folder: Path,
    *,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[Path]:
    """Write a folder that `datasets.load_from_disk` reads: a `DatasetDict` with all splits.

    The same as `datasets.load_dataset(tokenization).save_to_disk(folder)`, without the copy in its cache.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        folder: A folder that does not exist yet.
        on_progress: Told for each row group.
        should_stop: Polled for each row group.

    Returns:
        The files written.

    Raises:
        MistudioError: As `export_flat`.
        Stopped: Where `should_stop` said so; nothing is left behind.
    """
    tokenization = read_tokenization(store, dataset_id, preset)
    info = json.loads((store.tokenized(dataset_id, preset) / DATASET_INFO_NAME).read_bytes())

    def write(partial: Path, source: _Source) -> None:
        for split in tokenization.rows_by_split:
            (partial / split).mkdir()
            _write_arrow(partial / split, split, tokenization, source)
            write_json(partial / split / DATASET_INFO_NAME, info)
        write_json(partial / "dataset_dict.json", {"splits": list(tokenization.rows_by_split)})

    return _export(store, tokenization, folder, write, on_progress, should_stop)


class _Source:
    """The row groups of a tokenization, with progress."""

    def __init__(
        self, root: Path, tokenization: Tokenization, on_progress: ProgressCallback, should_stop: ShouldStop
    ) -> None:
        self._root = root
        self._tokenization = tokenization
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._done = 0

    def files(self, split: str) -> list[TokenFile]:
        return [file for file in self._tokenization.files if file.split == split]

    def batches(self, file: TokenFile) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self._root / file.path, pre_buffer=False) as parquet:
            for number in range(parquet.num_row_groups):
                if self._should_stop():
                    raise Stopped("Exporting")
                yield from parquet.read_row_group(number, use_threads=False).to_batches()
                self._done += parquet.metadata.row_group(number).num_rows
                self._on_progress(Progress(self._done, self._tokenization.counts.rows, "rows", "exporting"))

    def columns(self, split: str, name: str) -> Iterator[pa.Array]:
        for file in self.files(split):
            for batch in self.batches(file):
                yield batch.column(name)


def _export(
    store: DataStore,
    tokenization: Tokenization,
    folder: Path,
    write: Callable[[Path, _Source], None],
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> list[Path]:
    """Write into a folder beside the target, then rename it."""
    if folder.exists():
        raise MistudioError(
            ErrorCode.INVALID_CONFIG, f"The folder {folder} exists already.", "Name a folder that does not exist yet."
        )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    root = store.tokenized(tokenization.dataset_id, tokenization.preset.name)
    try:
        write(partial, _Source(root, tokenization, on_progress, should_stop))
        for path in partial.rglob("*"):
            if path.is_file():
                fsync_file(path)
        publish_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_flat(
    folder: Path, split: str, kind: np.dtype[Any], tokenization: Tokenization, columns: Iterator[pa.Array]
) -> None:
    name = f"{split}.bin"
    digest = hashlib.sha256()
    tokens = rows = 0
    bounds_name = None if tokenization.width is not None else f"{split}.bounds.bin"
    with (folder / name).open("wb") as file, ExitStack() as opened:
        bounds = opened.enter_context((folder / bounds_name).open("wb")) if bounds_name else None
        if bounds is not None:
            bounds.write(np.zeros(1, "<u8").tobytes())
        for column in columns:
            content = np.asarray(column.flatten()).astype(kind).tobytes()
            file.write(content)
            digest.update(content)
            if bounds is not None:
                lengths = np.asarray(pc.list_value_length(column)).astype(np.uint64)
                bounds.write((np.cumsum(lengths) + np.uint64(tokens)).astype("<u8").tobytes())
            tokens += len(content) // kind.itemsize
            rows += len(column)
    description = {
        "format_version": 1,
        "file": name,
        "bounds_file": bounds_name,
        "dtype": "uint16" if kind.itemsize == 2 else "uint32",
        "byte_order": "little",
        "rows": rows,
        "tokens_in_row": tokenization.width,
        "tokens": tokens,
        "pad_id": tokenization.pad_id,
        "sha256": digest.hexdigest(),
        "tokenizer": tokenization.tokenizer.model_dump(mode="json"),
        "dataset_id": tokenization.dataset_id,
        "preset": tokenization.preset.name,
    }
    write_json(folder / f"{split}.json", description)


def _write_arrow(folder: Path, split: str, tokenization: Tokenization, source: _Source) -> None:
    """One Arrow stream for each Parquet file, with the state that `datasets` keeps beside."""
    files = source.files(split)
    names = [f"data-{number:05d}-of-{len(files):05d}.arrow" for number in range(len(files))]
    schema = _plain_schema(tokenization)
    for file, name in zip(files, names, strict=True):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in source.batches(file):
                writer.write_batch(batch.cast(schema))
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": tokenization.fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    write_json(folder / "state.json", state)


def _plain_schema(tokenization: Tokenization) -> pa.Schema:
    """The schema as `datasets` makes it: everything nullable, items named `item`."""
    preset, width = tokenization.preset, tokenization.width

    def list_of(item: pa.DataType) -> pa.DataType:
        return pa.list_(item) if width is None else pa.list_(item, width)

    fields = [pa.field(preset.column_name, list_of(pa.type_for_alias(preset.dtype)))]
    if preset.mode == "padded":
        fields.append(pa.field(ATTENTION_MASK, list_of(pa.int8())))
    return pa.schema(fields)
