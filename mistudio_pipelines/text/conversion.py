"""Files of any format become the one raw copy of a dataset.

What belongs here: what happens to each source (kept byte for byte, or converted in a stream), in which order, and how
the result becomes a raw folder. What does not: reading formats (`formats/`), the form of our Parquet files
(`parquet_writer.py`), names and descriptions of the folder (`store/raw_folder.py`).

A rerun after a crash repeats only the step that was not finished. Sources that lie in the dataset's own partial folder
are removed as soon as they are converted, so that the disk never holds everything twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import Progress, ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.ids import check_split_name
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, RawFile
from mistudio_pipelines.store.raw_folder import data_file_name, link_or_move, publish_raw, ready_folder
from mistudio_pipelines.text.conversion_units import (
    FinishedUnit,
    Journal,
    Unit,
    fingerprint,
    order_by_split,
    plan_units,
)
from mistudio_pipelines.text.formats.source import Format, SourceFile
from mistudio_pipelines.text.formats.types import plain_schema, plain_type, widen_schema
from mistudio_pipelines.text.parquet_writer import ParquetPart
from mistudio_pipelines.text.unit_conversion import convert_unit, rewrite_file

__all__ = ["Format", "SourceFile", "build_raw_folder", "finished_origins"]


def build_raw_folder(
    store: DataStore,
    dataset_id: str,
    sources: Sequence[SourceFile],
    *,
    source: Literal["huggingface", "local"],
    repository: str | None,
    revision: str,
    config: str | None,
    text_column: str,
    via_convert_branch: bool = False,
    strict: bool = False,
    info: Mapping[str, Any] | None = None,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Manifest:
    """Make the raw folder of a dataset and put it in its place.

    Parquet with small row groups is kept byte for byte; other Parquet is rewritten; everything else is converted. All
    in a stream: memory does not depend on the size of a file, only on its longest sample.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset. The caller holds its lock.
        sources: The files. Splits appear in the order of their first file, files in the order given. A file in the
            dataset's partial folder was verified by who put it there where its origin has a sha256, and is removed once
            it is converted.
        source: Where the dataset comes from.
        repository: Hub id, or None.
        revision: Commit, or content hash.
        config: Config of the repository, or None.
        text_column: The column that holds the text. Values of it that are no text become text.
        via_convert_branch: True where the Hub's Parquet conversion is used.
        strict: True where invalid UTF-8 is refused instead of replaced and counted.
        info: `description`, `license`, `citation`, `homepage`, where they are known.
        on_progress: Told bytes of sources done.
        should_stop: Polled several times a second.

    Returns:
        The manifest of the published folder.

    Raises:
        MistudioError: `unreadable_file` with file, line and column; `no_text_column`; `unknown_split_or_config` for a
            split name that is not safe; `insufficient_storage`; `path_not_found`; `unsupported_format`.
        Stopped: As soon as `should_stop` says so; finished steps are kept.
    """
    if not sources:
        raise MistudioError(ErrorCode.UNREADABLE_FILE, f"Dataset {dataset_id} has no files.", "Choose another split.")
    for split in dict.fromkeys(file.split for file in sources):
        check_split_name(split)
    journal = Journal(_converted_folder(store, dataset_id))
    units = plan_units(order_by_split(sources))
    journal.remove_strays(len(units))
    finished = _convert_all(
        store.raw_partial(dataset_id), journal, units, text_column, strict, on_progress, should_stop
    )
    schema = _common_schema(journal, finished)
    finished = _give_all_same_columns(journal, finished, schema, should_stop)
    files = _gather(store, dataset_id, journal, units, finished, schema)
    manifest = Manifest(
        dataset_id=dataset_id,
        source=source,
        repository=repository,
        revision=revision,
        config=config,
        text_column=text_column,
        via_convert_branch=via_convert_branch,
        files=tuple(files),
    )
    publish_raw(store, manifest, _features(schema), info or {})
    return manifest


def finished_origins(store: DataStore, dataset_id: str) -> frozenset[str]:
    """Paths of originals that an interrupted conversion has already taken in: they need not be fetched again.

    Args:
        store: The data folder.
        dataset_id: Id of the dataset.
    """
    folder = _converted_folder(store, dataset_id)
    if not folder.is_dir():
        return frozenset()
    return Journal(folder).finished_origins()


def _converted_folder(store: DataStore, dataset_id: str) -> Path:
    return store.raw_partial(dataset_id) / "converted"


def _convert_all(
    partial: Path,
    journal: Journal,
    units: Sequence[Unit],
    text_column: str,
    strict: bool,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> list[FinishedUnit]:
    total = sum(file.origin.size for unit in units for file in unit)
    last_use = {file.path: index for index, unit in enumerate(units) for file in unit}
    done = 0
    finished = []
    for index, unit in enumerate(units):
        identity = fingerprint(unit, text_column, strict=strict)
        known = journal.read(index, identity)
        if known is None:
            journal.remove_others(index)

            def report(position: int, before: int = done) -> None:
                on_progress(Progress(min(before + position, total), total, "bytes", "converting"))

            known = FinishedUnit(
                fingerprint=identity,
                files=convert_unit(
                    unit,
                    journal.folder / journal.prefix(index),
                    partial,
                    text_column,
                    strict=strict,
                    on_position=report,
                    should_stop=should_stop,
                ),
            )
            journal.write(index, known)
        finished.append(known)
        _remove_sources([file.path for file in unit if last_use[file.path] == index], partial)
        done += sum(file.origin.size for file in unit)
        on_progress(Progress(done, total, "bytes", "converting"))
    return finished


def _remove_sources(paths: Sequence[Path], partial: Path) -> None:
    """Remove sources that we put there ourselves; what a user gave us is never touched."""
    for path in paths:
        if path.absolute().is_relative_to(partial.absolute()) and not path.is_symlink():
            path.unlink(missing_ok=True)


def _common_schema(journal: Journal, finished: Sequence[FinishedUnit]) -> pa.Schema:
    """The columns of all files together."""
    files = [file for unit in finished for file in unit.files]
    if not sum(file.rows for file in files):
        raise MistudioError(
            ErrorCode.UNREADABLE_FILE, "The files hold no samples.", "Choose other files, or another config or split."
        )
    schema: pa.Schema | None = None
    for file in files:
        found = plain_schema(pq.read_schema(journal.folder / file.path))
        schema = found if schema is None else widen_schema(schema, found)
    return schema


def _give_all_same_columns(
    journal: Journal, finished: Sequence[FinishedUnit], schema: pa.Schema, should_stop: ShouldStop
) -> list[FinishedUnit]:
    """Rewrite files whose columns differ from those of all together: no library loads a mixture."""
    result = []
    for index, unit in enumerate(finished):
        files = tuple(
            file
            if _has_columns(pq.read_schema(journal.folder / file.path), schema)
            else rewrite_file(journal.folder, file, schema, should_stop)
            for file in unit.files
        )
        if files != unit.files:
            unit = FinishedUnit(fingerprint=unit.fingerprint, files=files)
            journal.write(index, unit)
            journal.remove_others(index, files)
        result.append(unit)
    return result


def _has_columns(found: pa.Schema, wanted: pa.Schema) -> bool:
    def loose(schema: pa.Schema) -> dict[str, pa.DataType]:
        # The two layouts of text are the same in Parquet.
        types = {field.name: plain_type(field.type) for field in schema}
        return {name: pa.string() if pa.types.is_large_string(each) else each for name, each in types.items()}

    return loose(found) == loose(wanted)


def _gather(
    store: DataStore,
    dataset_id: str,
    journal: Journal,
    units: Sequence[Unit],
    finished: Sequence[FinishedUnit],
    schema: pa.Schema,
) -> list[RawFile]:
    """Put the files into the ready folder under their final names."""
    ready = ready_folder(store, dataset_id)
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    by_split: dict[str, list[RawFile]] = {unit[0].split: [] for unit in units}
    for unit in finished:
        for file in unit.files:
            if file.rows:
                by_split[file.split].append(file)
    named = []
    for split, files in by_split.items():
        for index, file in enumerate(files or [_write_empty(journal, split, schema)]):
            name = data_file_name(split, index, max(1, len(files)))
            link_or_move(journal.folder / file.path, ready / name)
            named.append(file.model_copy(update={"path": name}))
    return named


def _write_empty(journal: Journal, split: str, schema: pa.Schema) -> RawFile:
    """A file without rows for a split whose sources hold none."""
    path = journal.folder / f"empty-{split}.parquet"
    size, sha256 = ParquetPart(path, schema).close()
    return RawFile(path=path.name, split=split, rows=0, size=size, sha256=sha256)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The columns as `datasets` writes them into `dataset_info.json`."""
    from datasets import Features

    try:
        features = Features.from_arrow_schema(schema)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The file's own description of its columns makes no sense; their types do.
        features = Features.from_arrow_schema(schema.remove_metadata())
    described: dict[str, Any] = features.to_dict()
    return described
