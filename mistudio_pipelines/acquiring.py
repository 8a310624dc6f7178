"""Acquiring a dataset: from its record to a finished raw folder, continuing what an earlier attempt left.

What belongs here: the composition of `hub/` (download) and `text/` (conversion). What does not: either of them, and
Dagster.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import ProgressCallback, ShouldStop, ignore_progress, never_stop
from mistudio_pipelines.store.atomic import recover_folder, write_bytes
from mistudio_pipelines.store.damage import is_damaged
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import RAW_PART, dataset_lock
from mistudio_pipelines.store.manifest import MANIFEST_NAME, Manifest, Origin, read_manifest
from mistudio_pipelines.store.records import DatasetRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from mistudio_pipelines.hub.client import HubClient
    from mistudio_pipelines.text.conversion import Format


def acquire(
    store: DataStore,
    record: DatasetRecord,
    open_client: Callable[[], HubClient],
    *,
    connections: int = 4,
    bytes_per_second: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Manifest:
    """Make the raw folder of a dataset; does nothing where it is already there for the record's revision.

    Args:
        store: The data folder.
        record: What is wanted.
        open_client: Makes the client of the Hub; called only where something is to be downloaded.
        connections: Files downloaded at the same time.
        bytes_per_second: Upper limit of the download.
        on_progress: Told how far it is, in bytes.
        should_stop: Asked whether to stop; what is there is kept.

    Raises:
        MistudioError: `busy`, or whatever the download or the conversion finds wrong.
    """
    with dataset_lock(store, record.id, RAW_PART, "being downloaded"):
        folder = store.raw(record.id)
        recover_folder(folder)
        finished = _finished_manifest(folder)
        if finished is not None and finished.revision == record.revision:
            return finished
        store.raw_partial(record.id).mkdir(parents=True, exist_ok=True)
        if record.source == "local":
            return _acquire_local(store, record, on_progress, should_stop)
        return _acquire_repository(
            store, record, open_client(), connections, bytes_per_second, on_progress, should_stop
        )


def _finished_manifest(folder: Path) -> Manifest | None:
    """The manifest of a complete raw folder, or None where it has to be made (again)."""
    if not (folder / MANIFEST_NAME).exists() or is_damaged(folder):
        return None
    try:
        manifest = read_manifest(folder)
    except MistudioError:  # damaged: acquire it again
        return None
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            return None
    return manifest


def _acquire_repository(
    store: DataStore,
    record: DatasetRecord,
    client: HubClient,
    connections: int,
    bytes_per_second: int | None,
    on_progress: ProgressCallback,
    should_stop: ShouldStop,
) -> Manifest:
    from mistudio_pipelines.hub.download import download_files
    from mistudio_pipelines.hub.names import local_name
    from mistudio_pipelines.hub.partial import content_identity
    from mistudio_pipelines.hub.repository import plan_repository
    from mistudio_pipelines.text.conversion import SourceFile, build_raw_folder, finished_origins

    plan = plan_repository(
        client,
        record.repository or "",
        config=record.config,
        splits=record.splits,
        revision=record.revision,
        text_column=record.text_column,
    )
    partial = store.raw_partial(record.id)
    _keep_only_revision(partial, plan.revision)
    folder = partial / "download"
    # What an interrupted conversion has taken in is gone from the download folder; fetching it again would be waste.
    # A file that serves two splits is needed until both have it.
    uses = Counter(remote.path for remote in plan.files)
    converted = finished_origins(store, record.id)
    download_files(
        client,
        [remote for remote in plan.files if remote.path not in converted or uses[remote.path] > 1],
        revision=plan.revision,
        repository=plan.repository,
        folder=folder,
        connections=connections,
        bytes_per_second=bytes_per_second,
        reuse=_reusable_files(store.raw(record.id)),
        on_progress=on_progress,
        should_stop=should_stop,
    )
    sources = [
        SourceFile(
            path=folder / local_name(remote.path, content_identity(remote, plan.revision)),
            split=remote.split,
            format=cast("Format", plan.file_format),
            origin=Origin(path=remote.path, size=remote.size, sha256=remote.sha256, git_sha1=remote.git_sha1),
            reader_options=plan.reader_options,
        )
        for remote in plan.files
    ]
    return build_raw_folder(
        store,
        record.id,
        sources,
        source="huggingface",
        repository=plan.repository,
        revision=plan.revision,
        config=plan.config,
        text_column=record.text_column,
        via_convert_branch=plan.via_convert_branch,
        strict=record.strict,
        info={"license": record.license, "description": record.description},
        on_progress=on_progress,
        should_stop=should_stop,
    )


def _keep_only_revision(partial: Path, revision: str) -> None:
    """Forget conversions of another revision: their files have the same names and other bytes.

    Downloaded files may stay: their names say which content they are.
    """
    stamp = partial / "revision"
    if not stamp.exists() or stamp.read_text() != revision:
        shutil.rmtree(partial / "converted", ignore_errors=True)
        write_bytes(stamp, revision.encode())


def _reusable_files(folder: Path) -> dict[str, Path]:
    """Files of the finished dataset (an older revision, or a damaged one) that need not be fetched if they verify."""
    from mistudio_pipelines.hub.reuse import unchanged_originals

    try:
        return unchanged_originals(folder, read_manifest(folder))
    except MistudioError:
        return {}


def _acquire_local(
    store: DataStore, record: DatasetRecord, on_progress: ProgressCallback, should_stop: ShouldStop
) -> Manifest:
    from mistudio_pipelines.text.conversion import build_raw_folder
    from mistudio_pipelines.text.local_files import plan_local_files

    plan = plan_local_files(
        tuple(Path(path) for path in record.paths),
        text_column=record.text_column,
        splits=record.splits,
        name=record.name,
        strict=record.strict,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    if plan.revision != record.revision:
        raise MistudioError(
            ErrorCode.UNREADABLE_FILE,
            f"The local files of dataset {record.id} have changed since it was added.",
            f"Add them again as a new dataset, then `mistudio delete {record.id}`.",
        )
    return build_raw_folder(
        store,
        record.id,
        plan.files,
        source="local",
        repository=None,
        revision=plan.revision,
        config=None,
        text_column=record.text_column,
        strict=record.strict,
        info={},
        on_progress=on_progress,
        should_stop=should_stop,
    )
