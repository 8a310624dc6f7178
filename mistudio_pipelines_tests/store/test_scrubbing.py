"""Files that the disk has changed without changing their size are found and marked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import xxhash

from mistudio_pipelines.store.condition import INDEX_SUMMARY_NAME, TOKENIZATION_NAME, read_condition
from mistudio_pipelines.store.damage import MARK_NAME
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, dataset_lock
from mistudio_pipelines.store.manifest import MANIFEST_NAME
from mistudio_pipelines.store.records import DatasetRecord, now, write_record
from mistudio_pipelines.store.scrubbing import Scrubber

ID = "ds_texts_abcdef"
PRESET = "small"
CONTENT = b"what was written"


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    store = DataStore(tmp_path)
    write_record(store, DatasetRecord(id=ID, name="x", source="local", revision="1", text_column="t", created_at=now()))
    sha256 = {"path": "a.bin", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    xxh3 = {"path": "a.bin", "bytes": len(CONTENT), "xxh3": xxhash.xxh3_64(CONTENT).hexdigest()}
    for folder, name, file in (
        (store.raw(ID), MANIFEST_NAME, sha256),
        (store.index(ID), INDEX_SUMMARY_NAME, xxh3),
        (store.tokenized(ID, PRESET), TOKENIZATION_NAME, sha256),
    ):
        folder.mkdir(parents=True)
        (folder / "a.bin").write_bytes(CONTENT)
        (folder / name).write_text(json.dumps({"files": [file]}))
    store.statistics(ID).write_text("{}")
    return store


def _rot(path: Path) -> None:
    """Another byte at the same size and time, as a failing disk leaves it."""
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + b"N")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_whole_is_read_once_and_not_marked(store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    scrubber = Scrubber()
    assert scrubber.scrub(store, 1 << 20) == []
    monkeypatch.setattr("mistudio_pipelines.store.scrubbing._digest", lambda *_: pytest.fail("read again"))
    assert scrubber.scrub(store, 1 << 20) == []
    assert list(store.root.rglob(MARK_NAME)) == []


def test_every_part_that_is_damaged_is_found_and_no_other(store: DataStore) -> None:
    folders = {"raw": store.raw(ID), "index": store.index(ID), f"tokenized.{PRESET}": store.tokenized(ID, PRESET)}
    for name, folder in folders.items():
        assert Scrubber().scrub(store, 1 << 20) == []
        _rot(folder / "a.bin")
        (damage,) = Scrubber().scrub(store, 1 << 20)
        assert (damage.part.name, damage.problem) == (name, "a.bin has changed since it was written.")
        condition = read_condition(store, ID)
        assert {
            "raw": condition.raw == "damaged",
            "index": condition.index == "damaged",
            f"tokenized.{PRESET}": condition.damaged_tokenizations == (PRESET,),
        } == {one: one == name for one in folders}
        assert Scrubber().scrub(store, 1 << 20) == []  # it is known
        (folder / MARK_NAME).unlink()
        (folder / "a.bin").write_bytes(CONTENT)


def test_a_file_that_changes_is_read_again(store: DataStore) -> None:
    scrubber = Scrubber()
    assert scrubber.scrub(store, 1 << 20) == []
    (store.index(ID) / "a.bin").write_bytes(CONTENT[::-1])
    assert [one.part.name for one in scrubber.scrub(store, 1 << 20)] == [INDEX_PART]


def test_it_goes_on_where_the_budget_ended(store: DataStore) -> None:
    _rot(store.tokenized(ID, PRESET) / "a.bin")
    scrubber = Scrubber()
    assert [len(scrubber.scrub(store, 1)) for _ in range(4)] == [0, 0, 1, 0]


def test_what_somebody_writes_now_is_not_marked(store: DataStore) -> None:
    _rot(store.index(ID) / "a.bin")
    scrubber = Scrubber()
    with dataset_lock(store, ID, INDEX_PART, "being indexed"):
        assert scrubber.scrub(store, 1 << 20) == []
    assert len(scrubber.scrub(store, 1 << 20)) == 1


def test_missing_and_short_files_are_found_whatever_the_budget(store: DataStore) -> None:
    scrubber = Scrubber()
    scrubber.scrub(store, 1 << 20)
    (store.index(ID) / "a.bin").unlink()
    (damage,) = scrubber.scrub(store, 0)
    assert damage.problem == "a.bin is missing."
    os.truncate(store.raw(ID) / "a.bin", 3)
    (damage,) = scrubber.scrub(store, 0)
    assert (damage.part.name, damage.problem) == ("raw", "a.bin has changed since it was written.")


def test_what_is_not_there_yet_or_is_deleted_is_no_damage(store: DataStore) -> None:
    for folder in (store.raw(ID), store.index(ID), store.tokenized(ID, PRESET)):
        shutil.rmtree(folder)
    assert Scrubber().scrub(store, 1 << 20) == []
    assert not store.index(ID).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": [{}]}', b"\xff"])
def test_a_damaged_description_is_damage(store: DataStore, content: bytes) -> None:
    (store.index(ID) / INDEX_SUMMARY_NAME).write_bytes(content)
    (damage,) = Scrubber().scrub(store, 1 << 20)
    assert (damage.part.name, damage.problem) == (INDEX_PART, "index.json cannot be read.")
