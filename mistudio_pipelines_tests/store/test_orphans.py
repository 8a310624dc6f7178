"""What belongs to nothing is found and removed; everything else stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import RAW_PART, dataset_lock
from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest
from mistudio_pipelines.store.orphans import find_orphans, remove_orphans, tidy_after_crash
from mistudio_pipelines.store.records import DatasetRecord, now, write_record

KNOWN, GONE = "ds_known_abcdef", "ds_gone_abcdef"


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """One dataset with a record and raw files."""
    store = DataStore(tmp_path / "data")
    record = DatasetRecord(id=KNOWN, name="known", source="local", revision="r1", text_column="text", created_at=now())
    write_record(store, record)
    _put(store.raw(KNOWN) / "train-00000-of-00001.parquet", 5)
    file = RawFile(path="train-00000-of-00001.parquet", split="train", rows=1, size=5, sha256="0")
    write_manifest(
        store.raw(KNOWN),
        Manifest(dataset_id=KNOWN, source="local", revision="r1", text_column="text", files=(file,)),
    )
    return store


def _put(path: Path, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def _all(store: DataStore) -> set[Path]:
    return {path for path in store.root.rglob("*") if path.is_file()}


def test_a_healthy_data_folder_has_no_orphans(store: DataStore) -> None:
    _put(store.raw_partial("ds_registered_abcdef") / "download" / "file")
    assert find_orphans(store, ["ds_registered_abcdef"]) == []


def test_files_of_datasets_that_nobody_knows_are_found_everywhere_and_removed(store: DataStore) -> None:
    kept = _all(store)
    lost = [
        _put(store.raw(GONE) / "a.parquet"),
        _put(store.raw_partial(GONE) / "download" / "b"),
        _put(store.index(GONE) / "c"),
        _put(store.tokenized(GONE, "small") / "data" / "d"),
        _put(store.tokenized_partial(GONE, "small") / "e"),
        _put(store.statistics(GONE)),
        _put(store.lock(GONE, RAW_PART), 0),
        _put(store.trash_root / f"{GONE}.12345678" / "f"),
    ]
    orphans = find_orphans(store)
    assert len(orphans) == len(lost)
    assert sum(orphan.bytes for orphan in orphans) == 70
    assert remove_orphans(store, orphans) == 70
    assert _all(store) == kept


def test_names_that_are_not_ours_and_links_are_left_alone(store: DataStore, tmp_path: Path) -> None:
    outside = _put(tmp_path / "outside" / "precious")
    _put(store.raw_root / "lost+found" / "x")
    _put(store.raw_root / "notes.txt")
    (store.raw_root / GONE).symlink_to(outside.parent)
    before = _all(store)
    remove_orphans(store, find_orphans(store))
    assert _all(store) == before
    assert outside.exists()


def test_a_dataset_that_was_added_since_is_no_orphan(store: DataStore) -> None:
    path = _put(store.raw_partial(GONE) / "download" / "b")
    orphans = find_orphans(store)
    _put(store.record(GONE))
    remove_orphans(store, orphans)
    assert path.exists()


def test_partial_work_is_stale_only_beside_what_it_was_for(store: DataStore) -> None:
    partial = _put(store.raw_partial(KNOWN) / "download" / "b")
    (orphan,) = find_orphans(store)
    assert (orphan.path, orphan.kind) == (store.raw_partial(KNOWN), "partial")
    with dataset_lock(store, KNOWN, RAW_PART, "being downloaded"):
        assert remove_orphans(store, [orphan]) == 0
    assert partial.exists()
    # Of another revision than the finished one: a newer one is being fetched.
    manifest = Manifest(dataset_id=KNOWN, source="local", revision="r0", text_column="text")
    write_manifest(store.raw(KNOWN), manifest)
    assert find_orphans(store) == []


def test_temporary_files_are_leftovers_after_an_hour(store: DataStore) -> None:
    path = _put(store.metadata_root / f".{KNOWN}.json.12345678.tmp")
    assert find_orphans(store) == []
    long_ago = time.time() - 7200
    os.utime(path, (long_ago, long_ago))
    assert [orphan.path for orphan in find_orphans(store)] == [path]


def test_after_a_crash_a_replacement_is_finished_or_undone_and_finished_files_are_never_removed(
    store: DataStore,
) -> None:
    old = store.raw_root / f".old-{KNOWN}"
    store.raw(KNOWN).rename(old)
    left = _put(store.index_root / f".old-{KNOWN}" / "x")
    _put(store.index(KNOWN) / "index.json")
    unknown = _put(store.raw(GONE) / "a.parquet")
    stale = _put(store.raw_partial(GONE) / "download" / "b")
    trash = _put(store.trash_root / f"{GONE}.12345678" / "f")
    assert tidy_after_crash(store) == 20
    assert (store.raw(KNOWN) / "manifest.json").exists()
    assert not old.exists()
    assert not left.exists()
    assert unknown.exists()
    assert not stale.exists()
    assert not trash.exists()
