"""The record of a dataset: written, read, listed, and what is said where it is missing or damaged."""

from __future__ import annotations

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import (
    DatasetRecord,
    list_record_ids,
    now,
    read_all_records,
    read_record,
    write_record,
)


def record(dataset_id: str = "ds_x_abc234", **changes) -> DatasetRecord:
    return DatasetRecord(
        **{
            "id": dataset_id,
            "name": "x",
            "source": "huggingface",
            "repository": "owner/x",
            "revision": "abc",
            "text_column": "text",
            "created_at": now(),
            **changes,
        }
    )


def test_what_is_written_is_read_and_listed(tmp_path):
    store = DataStore(tmp_path)
    assert list_record_ids(store) == []
    one = record(description="ä\u2028", splits=("train", "test"))
    write_record(store, one)
    write_record(store, record("ds_y_abc234"))
    store.statistics(one.id).write_text("{}")
    assert read_record(store, one.id) == one
    assert sorted(list_record_ids(store)) == ["ds_x_abc234", "ds_y_abc234"]
    assert {each.id for each in read_all_records(store)} == {"ds_x_abc234", "ds_y_abc234"}


def test_an_unknown_and_a_damaged_record_are_told_apart(tmp_path):
    store = DataStore(tmp_path)
    with pytest.raises(MistudioError, match="no dataset ds_x_abc234") as caught:
        read_record(store, "ds_x_abc234")
    assert caught.value.code == ErrorCode.UNKNOWN_DATASET
    write_record(store, record())
    for content in (b"", b"{", b"\xff\xfe", b'{"format_version": 9}'):
        store.record("ds_x_abc234").write_bytes(content)
        with pytest.raises(MistudioError, match="cannot be read") as caught:
            read_record(store, "ds_x_abc234")
        assert caught.value.code == ErrorCode.DATA_CORRUPT


def test_an_id_that_leads_elsewhere_is_refused_before_any_file_is_touched(tmp_path):
    with pytest.raises(MistudioError) as caught:
        read_record(DataStore(tmp_path), "ds_../../etc/passwd")
    assert caught.value.code == ErrorCode.INVALID_ID


def test_the_same_source_is_the_same_whatever_the_order_of_its_splits():
    assert record(splits=("a", "b")).same_source_key == record(splits=("b", "a")).same_source_key
    assert record(splits=None).same_source_key != record(splits=("a",)).same_source_key
    assert record(revision="x").same_source_key != record(revision="y").same_source_key
