"""What lies in the data folder and belongs to nothing: found, shown, and removed on request.

What belongs here: deciding which names of our own folders are orphans. Names that are not ours are never touched, nor
anything outside the folders of datasets. Partial work that a dataset can still continue from is not an orphan.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.atomic import is_leftover, recover_folder, replaced_name
from mistudio_pipelines.store.condition import read_condition
from mistudio_pipelines.store.ids import is_dataset_id
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, RAW_PART, dataset_lock, tokenized_part
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.store.records import list_record_ids, read_record
from mistudio_pipelines.store.space import path_bytes, remove_path

Kind = Literal["trash", "dataset", "partial", "leftover"]

# A write takes seconds; a temporary name this old is nobody's.
_SECONDS_UNTIL_LEFT = 3600.0
_STATISTICS_SUFFIX = "_stats.json"


@dataclass(frozen=True)
class Orphan:
    """A file or folder that belongs to nothing.

    Attributes:
        path: Where it is.
        kind: `trash` of a deletion, files of a `dataset` that nobody knows, `partial` work that nothing continues
            from, or what a write that was cut short has left over.
        dataset_id: The dataset that it was of, where the name says it.
        bytes: What it takes.
    """

    path: Path
    kind: Kind
    dataset_id: str | None
    bytes: int


def find_orphans(store: DataStore, known_ids: Iterable[str] = ()) -> list[Orphan]:
    """Find everything that belongs to nothing.

    Args:
        store: The data folder.
        known_ids: Datasets that are known besides those with a record, for example to Dagster.
    """
    known = {*known_ids, *list_record_ids(store)}
    found = {
        path: Orphan(path, kind, dataset_id, path_bytes(path)) for path, kind, dataset_id in _candidates(store, known)
    }
    return sorted(found.values(), key=lambda orphan: orphan.path)


def remove_orphans(store: DataStore, orphans: Sequence[Orphan]) -> int:
    """Remove orphans, unless they have become somebody's since they were found; returns the bytes freed."""
    freed = 0
    for orphan in orphans:
        if orphan.kind == "dataset" and orphan.dataset_id and store.record(orphan.dataset_id).exists():
            continue
        freed += _remove(store, orphan)
    return freed


def tidy_after_crash(store: DataStore, known_ids: Iterable[str] = ()) -> int:
    """What needs no question: finish replacements that were cut short, and remove trash and partial work of nobody.

    Finished files are never removed here, whoever they belong to.

    Returns:
        Bytes freed.
    """
    for root in (store.raw_root, store.index_root, *_folders(store.tokenized_root)):
        for path in _entries(root):
            target = replaced_name(path)
            if target is not None:
                recover_folder(target)
    safe = [
        orphan
        for orphan in find_orphans(store, known_ids)
        if orphan.kind in ("trash", "partial") or orphan.path.parent.name == ".partial"
    ]
    return remove_orphans(store, safe)


def _remove(store: DataStore, orphan: Orphan) -> int:
    part = _part_of(store, orphan)
    try:
        if part is None or orphan.dataset_id is None:
            remove_path(orphan.path)
        else:
            with dataset_lock(store, orphan.dataset_id, part, "being tidied"):
                remove_path(orphan.path)
    except (MistudioError, OSError):  # somebody works with it, or it cannot be removed: it stays an orphan
        return 0
    return orphan.bytes - path_bytes(orphan.path)


def _part_of(store: DataStore, orphan: Orphan) -> str | None:
    """The part whose writer might be at work on an orphan of a dataset that exists."""
    if orphan.kind != "partial":
        return None
    if orphan.path.parent == store.raw_root / ".partial":
        return RAW_PART
    if orphan.path.parent == store.index_root / ".partial":
        return INDEX_PART
    return tokenized_part(orphan.path.name)


def _candidates(store: DataStore, known: Set[str]) -> Iterator[tuple[Path, Kind, str | None]]:
    for path in _entries(store.trash_root):
        yield path, "trash", path.name.partition(".")[0] or None
    for path, dataset_id in _named_after_datasets(store):
        if dataset_id not in known:
            yield path, "dataset", dataset_id
    yield from ((path, "leftover", None) for path in _leftovers(store))
    for dataset_id in list_record_ids(store):
        yield from ((path, "partial", dataset_id) for path in _stale_partials(store, dataset_id))


def _named_after_datasets(store: DataStore) -> Iterator[tuple[Path, str]]:
    for root in (store.raw_root, store.index_root, store.tokenized_root):
        yield from ((path, path.name) for path in (*_folders(root), *_folders(root / ".partial")))
    for path in _entries(store.metadata_root):
        dataset_id = path.name.removesuffix(_STATISTICS_SUFFIX)
        if path.name.endswith(_STATISTICS_SUFFIX) and is_dataset_id(dataset_id):
            yield path, dataset_id
    for path in _entries(store.locks_root):
        dataset_id = path.name.partition(".")[0]
        if is_dataset_id(dataset_id):
            yield path, dataset_id


def _leftovers(store: DataStore) -> Iterator[Path]:
    folders = [store.raw_root, store.index_root, store.metadata_root, store.presets_root]
    for folder in (*folders, *_folders(store.raw_root), *_folders(store.tokenized_root)):
        for path in _entries(folder):
            # A folder that was set aside for its replacement is the only copy while the replacement is not there.
            target = replaced_name(path)
            is_old = time.time() - path.lstat().st_mtime > _SECONDS_UNTIL_LEFT
            if is_leftover(path) and (target.exists() if target is not None else is_old):
                yield path


def _stale_partials(store: DataStore, dataset_id: str) -> Iterator[Path]:
    """Partial work beside the finished thing that it was for."""
    condition = read_condition(store, dataset_id)
    raw = store.raw_partial(dataset_id)
    if condition.raw == "complete" and raw.exists() and _is_what_was_asked_for(store, dataset_id):
        yield raw
    if condition.index == "complete" and store.index_partial(dataset_id).exists():
        yield store.index_partial(dataset_id)
    for preset in condition.tokenizations:
        partial = store.tokenized_partial(dataset_id, preset)
        if partial.exists():
            yield partial


def _is_what_was_asked_for(store: DataStore, dataset_id: str) -> bool:
    """False while newer files are wanted, and in doubt: then the partial files may be theirs."""
    try:
        return read_manifest(store.raw(dataset_id)).revision == read_record(store, dataset_id).revision
    except MistudioError:
        return False


def _folders(root: Path) -> list[Path]:
    return [path for path in _entries(root) if path.is_dir() and not path.is_symlink() and is_dataset_id(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
