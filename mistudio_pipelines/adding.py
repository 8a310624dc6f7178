"""Adding a dataset: from what a person asks for to a plan and a record, with every check before any byte moves.

What belongs here: the composition of `hub/` or `text/local_files.py` with the disk checks and the record. What does
not: Dagster (`defs/registration.py` registers the partition).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.ids import check_preset_name, new_dataset_id
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord, now, read_all_records, write_record
from mistudio_pipelines.store.room import check_room, dataset_sizes, promised_bytes
from mistudio_pipelines.store.space import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from mistudio_pipelines.hub.client import HubClient

_LOCAL_START = re.compile(r"(?:[./~\\]|[A-Za-z]:[\\/])")
_DATA_SUFFIX = re.compile(r"\.(?:csv|tsv|jsonl?|ndjson|txt|parquet|arrow)(?:\.(?:gz|zst|bz2|xz|zip))?\Z", re.IGNORECASE)


@dataclass(frozen=True)
class AddRequest:
    """What a person asks for: a repository of the Hub or local paths, never both.

    Attributes:
        repository: Hub id, for example `roneneldan/TinyStories`.
        paths: Local files or folders.
        config: Config of the repository.
        splits: Splits to take; empty: all.
        revision: Branch, tag or commit; None: the default branch.
        text_column: Column that holds the text; None: found by the rules.
        name: What to call it; None: the repository's or file's name.
        token_name: Name of the secret to use; None: HF_TOKEN or the login store.
        allow_large: Allow a dataset over the size limit.
        strict: Refuse invalid UTF-8 in local files instead of replacing and counting it.
        tokenizations: Presets to tokenize it with as soon as it is there.
        size_limit_bytes: Most bytes of local files that are accepted; None: no limit of their own.
    """

    repository: str | None = None
    paths: tuple[str, ...] = ()
    config: str | None = None
    splits: tuple[str, ...] = ()
    revision: str | None = None
    text_column: str | None = None
    name: str | None = None
    token_name: str | None = None
    allow_large: bool = False
    strict: bool = False
    tokenizations: tuple[str, ...] = ()
    size_limit_bytes: int | None = None


@dataclass(frozen=True)
class AddPlan:
    """What adding a dataset would do.

    Attributes:
        record: The record that would be written.
        available_splits: All splits there are.
        file_count: Files to download or read.
        file_format: Their format.
        free_bytes: Free space now.
        warnings: Sentences a person should read first.
        available_configs: All configs there are.
    """

    record: DatasetRecord
    available_splits: tuple[str, ...]
    file_count: int
    file_format: str
    free_bytes: int
    warnings: tuple[str, ...]
    available_configs: tuple[str, ...] = ()


def looks_local(source: str) -> bool:
    """True where a word on the command line is a path and not a Hub id.

    `./x`, `/x`, `~/x` and names that end like data files are paths; everything else is a Hub id.
    """
    return bool(_LOCAL_START.match(source) or _DATA_SUFFIX.search(source))


def plan_adding(
    store: DataStore,
    request: AddRequest,
    open_client: Callable[[str | None], HubClient],
    *,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> AddPlan:
    """Validate a request and find out what it would need; writes nothing.

    Args:
        store: The data folder.
        request: What is asked for.
        open_client: Makes a client of the Hub for the name of a secret; called only for a repository.
        on_progress: Told how far the reading of local files is.
        should_stop: Asked whether to stop.

    Raises:
        MistudioError: Whatever is wrong with the request, the repository, the files or the disk.
    """
    if bool(request.repository) == bool(request.paths):
        raise MistudioError(
            ErrorCode.INVALID_CONFIG,
            "Give either a repository of the Hub or local paths, not both and not neither.",
            "For example `mistudio add roneneldan/TinyStories` or `mistudio add ./texts.jsonl`.",
        )
    _check_presets(store, request.tokenizations)
    if request.repository:
        plan = _plan_repository(store, request, open_client(request.token_name))
    else:
        plan = _plan_local(store, request, on_progress, should_stop)
    return replace(plan, warnings=(*plan.warnings, *_check_acceptable(store, plan.record)))


def accept_plan(store: DataStore, plan: AddPlan) -> DatasetRecord:
    """Write the record of a planned dataset.

    What was checked when planning is checked again under a lock, so that two datasets added at the same moment
    neither hold the same thing nor plan the same free bytes.

    Raises:
        MistudioError: `dataset_exists`, `insufficient_storage`, `dataset_too_large`.
    """
    store.locks_root.mkdir(parents=True, exist_ok=True)
    with FileLock(store.locks_root / "adding.lock"):
        _check_acceptable(store, plan.record)
        write_record(store, plan.record)
    return plan.record


def _check_acceptable(store: DataStore, record: DatasetRecord) -> list[str]:
    _refuse_duplicate(store, record)
    return check_room(
        record.download_bytes,
        record.pipeline_bytes,
        free_bytes(store.root),
        promised=promised_bytes(store),
        allow_large=record.allow_large,
        sizes=dataset_sizes(store),
    )


def _check_presets(store: DataStore, presets: tuple[str, ...]) -> None:
    for preset in presets:
        if not store.preset(check_preset_name(preset)).exists():
            raise MistudioError(
                ErrorCode.UNKNOWN_PRESET,
                f"There is no tokenization preset {preset!r}.",
                "`mistudio tokenization list` shows them; `mistudio tokenization save` makes one.",
            )


def _plan_repository(store: DataStore, request: AddRequest, client: HubClient) -> AddPlan:
    from mistudio_pipelines.hub.repository import plan_repository

    plan = plan_repository(
        client,
        request.repository or "",
        config=request.config,
        splits=request.splits or None,
        revision=request.revision,
        text_column=request.text_column,
    )
    name = request.name or plan.repository
    record = DatasetRecord(
        id=new_dataset_id(name.split("/")[-1], local=False),
        name=name,
        source="huggingface",
        repository=plan.repository,
        config=plan.config,
        splits=request.splits or None,
        requested_revision=request.revision,
        followed_revision=plan.followed_revision,
        revision=plan.revision,
        text_column=plan.text_column,
        token_name=request.token_name,
        description=plan.description,
        license=plan.license,
        download_bytes=plan.download_bytes,
        pipeline_bytes=plan.pipeline_bytes,
        allow_large=request.allow_large,
        strict=request.strict,
        tokenizations=request.tokenizations,
        created_at=now(),
    )
    files = sum(len(files) for files in plan.splits.values())
    warnings = []
    if plan.via_convert_branch:
        warnings.append(
            "The repository needs a script or has a format of its own; the Hub's Parquet conversion is used."
        )
    if plan.partially_converted:
        warnings.append("The Hub has converted only the first part of this repository: the dataset is not complete.")
    return AddPlan(
        record,
        tuple(plan.available_splits),
        files,
        plan.file_format,
        free_bytes(store.root),
        tuple(warnings),
        available_configs=tuple(plan.configs),
    )


def _plan_local(
    store: DataStore, request: AddRequest, on_progress: ProgressCallback, should_stop: ShouldStop
) -> AddPlan:
    from mistudio_pipelines.text.local_files import plan_local_files

    paths = tuple(Path(path).expanduser().absolute() for path in request.paths)
    plan = plan_local_files(
        paths,
        text_column=request.text_column,
        splits=request.splits or None,
        name=request.name,
        size_limit_bytes=request.size_limit_bytes,
        strict=request.strict,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    record = DatasetRecord(
        id=new_dataset_id(plan.name, local=True),
        name=plan.name,
        source="local",
        paths=tuple(str(path) for path in paths),
        splits=request.splits or None,
        revision=plan.revision,
        text_column=plan.text_column,
        download_bytes=plan.size_bytes,
        pipeline_bytes=plan.pipeline_bytes,
        allow_large=request.allow_large,
        strict=request.strict,
        tokenizations=request.tokenizations,
        created_at=now(),
    )
    formats = sorted({file.format for file in plan.files})
    return AddPlan(record, tuple(plan.splits), len(plan.files), ", ".join(formats), free_bytes(store.root), ())


def _refuse_duplicate(store: DataStore, record: DatasetRecord) -> None:
    for other in read_all_records(store):
        if other.same_source_key == record.same_source_key and not other.deleting:
            raise MistudioError(
                ErrorCode.DATASET_EXISTS,
                f"Dataset {other.id} already holds {record.name!r} at this revision.",
                f"Use it, or delete it first: `mistudio delete {other.id}`.",
                details={"dataset_id": other.id},
            )
