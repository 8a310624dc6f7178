"""Local files and folders as a dataset: what is there, which split it belongs to, and which column is the text.

What belongs here: everything that is decided before local files are converted. What does not: reading them
(`formats/`), converting them (`conversion.py`), finding them (`local_finding.py`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import (
    Progress,
    ProgressCallback,
    ShouldStop,
    format_bytes,
    ignore_progress,
    never_stop,
)
from mistudio_pipelines.store.manifest import Origin
from mistudio_pipelines.store.raw_folder import file_sha256
from mistudio_pipelines.text.columns import choose_text_column, list_names
from mistudio_pipelines.text.formats.reader import iter_tables
from mistudio_pipelines.text.formats.source import Reading, SourceFile
from mistudio_pipelines.text.local_finding import FoundFile, find_files, readable_path

_OTHER_SEPARATORS = ("\t", ";", "|")


@dataclass(frozen=True)
class LocalPlan:
    """What adding local files would read.

    Attributes:
        name: What to call the dataset.
        files: The files, split by split, each with its size and sha256.
        splits: Their splits, in order.
        columns: Arrow type of each column, by name, from the first file that has rows.
        text_column: The column that holds the text.
        size_bytes: Bytes of the files.
        pipeline_bytes: Bytes that the whole pipeline is expected to need on disk besides them.
        revision: sha256 over names, sizes and contents: changes exactly when the data does.
        ignored: Files found in a folder that are not part of it: of another format or of no split.
    """

    name: str
    files: tuple[SourceFile, ...]
    splits: tuple[str, ...]
    columns: Mapping[str, str]
    text_column: str
    size_bytes: int
    pipeline_bytes: int
    revision: str
    ignored: tuple[str, ...] = ()


def plan_local_files(
    paths: Sequence[Path],
    *,
    text_column: str | None = None,
    splits: Sequence[str] | None = None,
    name: str | None = None,
    size_limit_bytes: int | None = None,
    strict: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> LocalPlan:
    """Look at local files and decide how they become a dataset. Reads every byte once, for the content hash.

    Args:
        paths: Files, folders (with everything below them; one format, the one most files have), or a folder that
            `save_to_disk` wrote. A path that is itself a link is followed; a link inside a folder must stay inside.
        text_column: The column that holds the text, or None to find it.
        splits: Only these splits, or None for all.
        name: What to call the dataset, or None for the name of the file or folder.
        size_limit_bytes: Most bytes that are accepted, or None for any number.
        strict: True where invalid UTF-8 is refused.
        on_progress: Told bytes hashed.
        should_stop: Polled while hashing.

    Raises:
        MistudioError: `path_not_found`, `unsupported_format`, `unreadable_file`, `no_text_column`,
            `unknown_split_or_config`, `dataset_too_large`.
        Stopped: As soon as `should_stop` says so.
    """
    found, ignored = find_files(paths)
    chosen = _choose_splits(found, splits)
    unhashed = [_to_source(file) for file in chosen]
    total = sum(source.origin.size for source in unhashed)
    if size_limit_bytes is not None and total > size_limit_bytes:
        raise MistudioError(
            ErrorCode.DATASET_TOO_LARGE,
            f"The files are {format_bytes(total)}; the limit is {format_bytes(size_limit_bytes)}.",
            "Choose fewer files, or raise the limit.",
        )
    sources = _with_separator(unhashed)
    columns = _peek_columns(sources, strict, should_stop)
    text = choose_text_column(columns, text_column)
    hashed = tuple(_with_hashes(sources, total, on_progress, should_stop))
    return LocalPlan(
        name=name or _name_of(paths),
        files=hashed,
        splits=tuple(dict.fromkeys(source.split for source in hashed)),
        columns=columns,
        text_column=text,
        size_bytes=total,
        pipeline_bytes=_estimate(hashed),
        revision=_content_hash(chosen, hashed),
        ignored=tuple(ignored),
    )


def _choose_splits(found: Sequence[FoundFile], requested: Sequence[str] | None) -> list[FoundFile]:
    available = list(dict.fromkeys(file.split for file in found if file.split))
    if requested is None:
        return list(found)
    if unknown := [split for split in requested if split not in available]:
        raise MistudioError(
            ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
            f"The files have no split {unknown[0]!r}.",
            f"Their splits are {list_names(available)}.",
            details={"splits": available},
        )
    return [file for file in found if file.split in requested]


def _to_source(file: FoundFile) -> SourceFile:
    if file.detected.format is None or file.split is None:
        raise ValueError("format and split are known here")
    return SourceFile(
        path=file.path.absolute(),
        split=file.split,
        format=file.detected.format,
        origin=Origin(path=readable_path(file.path.absolute()), size=file.path.stat().st_size),
        reader_options=file.detected.reader_options,
    )


def _with_separator(sources: list[SourceFile]) -> list[SourceFile]:
    """CSV with another separator than its name promises: the header tells, if it has no comma at all."""
    for source in sources:
        if source.format != "csv" or "sep" in source.reader_options:
            continue
        names = list(_first_columns(source, strict=False, should_stop=never_stop))
        if not names:
            continue
        found = [separator for separator in _OTHER_SEPARATORS if len(names) == 1 and separator in names[0]]
        if not found:
            return sources
        options: dict[str, Any] = {"sep": found[0]}
        return [
            replace(each, reader_options={**options, **each.reader_options}) if each.format == "csv" else each
            for each in sources
        ]
    return sources


def _peek_columns(sources: Sequence[SourceFile], strict: bool, should_stop: ShouldStop) -> dict[str, str]:
    """Columns of the first file that has any."""
    for source in sources:
        if columns := _first_columns(source, strict=strict, should_stop=should_stop):
            return columns
    raise MistudioError(ErrorCode.UNREADABLE_FILE, "The files hold no samples.", "Choose other files.")


def _first_columns(source: SourceFile, *, strict: bool, should_stop: ShouldStop) -> dict[str, str]:
    reading = Reading(source.origin.path, source.reader_options, strict=strict, should_stop=should_stop)
    columns: dict[str, str] = {}
    for table in iter_tables(source, reading):
        columns = {field.name: str(field.type) for field in table.schema}
        if table.num_rows:
            break
    return columns


def _with_hashes(
    sources: Sequence[SourceFile], total: int, on_progress: ProgressCallback, should_stop: ShouldStop
) -> Iterator[SourceFile]:
    done = 0

    def report(position: int) -> None:
        on_progress(Progress(min(done + position, total), total, "bytes", "reading"))

    for source in sources:
        sha256 = file_sha256(source.path, on_bytes=report, should_stop=should_stop)
        done += source.origin.size
        yield replace(source, origin=source.origin.model_copy(update={"sha256": sha256}))


def _content_hash(found: Sequence[FoundFile], sources: Sequence[SourceFile]) -> str:
    """Over names below what the user gave, not over where it lies: a folder that was moved is the same data."""
    digest = hashlib.sha256()
    for file, source in zip(found, sources, strict=True):
        name = os.fsencode(file.name)
        digest.update(f"{len(name)}:".encode() + name)
        digest.update(f":{source.split}:{source.origin.size}:{source.origin.sha256}\n".encode())
    return digest.hexdigest()


def _estimate(sources: Sequence[SourceFile]) -> int:
    """The Hub's rule, without the download: local files stay where they are."""
    from mistudio_pipelines.hub.estimate import pipeline_bytes

    by_format: dict[str, list[SourceFile]] = {}
    for source in sources:
        by_format.setdefault(source.format, []).append(source)
    total = 0
    for data_format, files in by_format.items():
        size = sum(file.origin.size for file in files)
        total += pipeline_bytes(size, data_format, [file.path.name for file in files]) - size
    return total


def _name_of(paths: Sequence[Path]) -> str:
    first = paths[0].absolute()
    if len(paths) > 1:
        return first.parent.name or "local"
    return first.name if first.is_dir() else first.name.split(".")[0] or "local"
