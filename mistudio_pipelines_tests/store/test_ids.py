"""No name from outside becomes a path that leads anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.ids import check_dataset_id, check_preset_name, check_split_name, new_dataset_id, slugify
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.raw_folder import data_file_name

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "ds_../../x",
    "ds_a/b",
    "ds_a\\b",
    "ds_a\0",
    "ds_a\n",
    "ds_" + "x" * 200,
    "ds_ａ",
    "ds_а",  # a Cyrillic letter that looks like a Latin one
    "ds_a b",
    "CON",
    "~",
    "-rf",
]
anything = st.one_of(st.text(max_size=80), st.sampled_from(HOSTILE), st.text("./\\ds_-aA0\0\n", max_size=12))


@given(anything, st.booleans())
def test_any_name_gives_an_id_that_is_accepted(name, local):
    dataset_id = new_dataset_id(name, local=local)
    assert check_dataset_id(dataset_id) == dataset_id
    assert re.fullmatch(r"ds_(local_)?[a-z0-9_-]{1,60}_[a-z2-9]{6}", dataset_id)
    assert dataset_id.startswith("ds_local_") == local or not local


def test_two_ids_of_one_name_differ():
    assert new_dataset_id("x", local=False) != new_dataset_id("x", local=False)


@given(anything)
@example("Ünï cödé! 100%")
def test_a_slug_is_readable_and_safe(name):
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9_]*[a-z0-9])?", slugify(name))


def test_slugs_keep_what_can_be_kept():
    assert slugify("roneneldan/TinyStories") == "roneneldan_tinystories"
    assert slugify("Ünï cödé! 100%") == "uni_code_100"
    assert slugify("日本語") == "dataset"


@given(anything)
def test_an_id_is_safe_or_refused(dataset_id):
    store = DataStore(Path("/data"))
    try:
        check_dataset_id(dataset_id)
    except MistudioError as error:
        assert error.code == ErrorCode.INVALID_ID
        for path in (store.raw, store.raw_partial, store.index, store.record, store.statistics, store.tokenized_of):
            with pytest.raises(MistudioError):
                path(dataset_id)
    else:
        assert re.fullmatch(r"ds_[A-Za-z0-9_-]+", dataset_id)
        assert store.raw(dataset_id).parent == store.raw_root
        assert store.record(dataset_id).parent == store.metadata_root


@given(anything)
def test_a_preset_name_is_safe_or_refused(name):
    store = DataStore(Path("/data"))
    try:
        check_preset_name(name)
    except MistudioError as error:
        assert error.code == ErrorCode.INVALID_PRESET
        with pytest.raises(MistudioError):
            store.preset(name)
        with pytest.raises(MistudioError):
            store.tokenized("ds_x", name)
    else:
        assert store.preset(name).parent == store.metadata_root / "presets"
        assert store.tokenized("ds_x", name).parent == store.tokenized_of("ds_x")


@given(st.one_of(anything, st.text(st.characters(categories=("L", "N")), max_size=50)), st.integers(0, 99_999))
@example("train", 0)
@example("test.clean", 3)
@example("ｔｒａｉｎ", 0)
@example("日本語", 0)
@example("ﬁne", 0)
@example("a..b", 0)
@example("x" * 121, 0)
def test_a_split_name_is_a_safe_file_name_or_refused(split, index):
    try:
        name = data_file_name(split, index, 100_000)
    except MistudioError as error:
        assert error.code == ErrorCode.UNKNOWN_SPLIT_OR_CONFIG
    else:
        assert check_split_name(split) == split
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name.encode()) < 255
        assert not set(name) & set('/\\\0:*?"<>|\n')


@pytest.mark.parametrize("split", ["train", "test.clean", "validation_2", "日本語", "été"])
def test_ordinary_split_names_are_accepted(split):
    assert check_split_name(split) == split


@pytest.mark.parametrize("split", ["ｔｒａｉｎ", "ﬁne", "tra\u0301in"])
def test_split_names_that_only_look_like_others_are_refused(split):
    with pytest.raises(MistudioError):
        check_split_name(split)


@pytest.mark.parametrize("value", [None, 5, b"ds_x", ["ds_x"]])
def test_what_is_no_text_is_refused(value):
    for check in (check_dataset_id, check_preset_name, check_split_name):
        with pytest.raises(MistudioError):
            check(value)
