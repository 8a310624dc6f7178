"""What of a dataset is on disk: presence and sizes, never from memory alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mistudio_pipelines.store.condition import INDEX_SUMMARY_NAME, TOKENIZATION_NAME, Condition, read_condition
from mistudio_pipelines.store.damage import mark_damaged
from mistudio_pipelines.store.layout import DataStore

ID = "ds_texts_abcdef"


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    store = DataStore(tmp_path)
    _write_folder(store.raw(ID), "manifest.json")
    _write_folder(store.tokenized(ID, "small"), TOKENIZATION_NAME)
    (store.index(ID)).mkdir(parents=True)
    (store.index(ID) / INDEX_SUMMARY_NAME).write_text("{}")
    store.metadata_root.mkdir(parents=True)
    store.statistics(ID).write_text("{}")
    return store


def _write_folder(folder: Path, description: str) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.parquet").write_bytes(b"12345")
    (folder / description).write_text(json.dumps({"files": [{"path": "data/a.parquet", "size": 5}]}))


def test_everything_is_there(store: DataStore) -> None:
    assert read_condition(store, ID) == Condition("complete", 5, index="complete", tokenizations=("small",))


def test_the_names_are_those_that_are_written() -> None:
    from mistudio_pipelines.text.sample_index import SUMMARY_NAME
    from mistudio_pipelines.tokenization.results import TOKENIZATION_NAME as WRITTEN

    assert (INDEX_SUMMARY_NAME, TOKENIZATION_NAME) == (SUMMARY_NAME, WRITTEN)


@pytest.mark.parametrize("change", [b"1234", None])
def test_a_file_that_is_gone_or_has_another_size_is_damage_at_the_next_look(
    store: DataStore, change: bytes | None
) -> None:
    read_condition(store, ID)
    for folder in (store.raw(ID), store.tokenized(ID, "small")):
        path = folder / "data" / "a.parquet"
        path.unlink()
        if change is not None:
            path.write_bytes(change)
    found = read_condition(store, ID)
    assert (found.raw, found.tokenizations, found.damaged_tokenizations) == ("damaged", (), ("small",))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": 3}', b'{"files": [{"path": "x"}]}', b"\xff\xfe"])
def test_a_description_that_cannot_be_read_is_damage(store: DataStore, content: bytes) -> None:
    read_condition(store, ID)
    (store.raw(ID) / "manifest.json").write_bytes(content)
    (store.tokenized(ID, "small") / TOKENIZATION_NAME).write_bytes(content)
    found = read_condition(store, ID)
    assert (found.raw, found.damaged_tokenizations) == ("damaged", ("small",))


def test_of_a_dataset_that_was_just_added_nothing_is_there(tmp_path: Path) -> None:
    assert read_condition(DataStore(tmp_path), ID) == Condition("missing")


def test_unfinished_and_hidden_tokenizations_are_none(store: DataStore) -> None:
    (store.tokenized_of(ID) / "begun").mkdir()
    _write_folder(store.tokenized_of(ID) / ".old-small", TOKENIZATION_NAME)
    assert read_condition(store, ID).tokenizations == ("small",)


def test_a_mark_is_damage_whatever_the_sizes(store: DataStore) -> None:
    for folder in (store.raw(ID), store.index(ID), store.tokenized(ID, "small")):
        mark_damaged(folder, ["a.parquet has changed."])
    found = read_condition(store, ID)
    assert (found.raw, found.index, found.damaged_tokenizations) == ("damaged", "damaged", ("small",))
