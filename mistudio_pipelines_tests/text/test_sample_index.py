"""The index on disk: a whole one passes, a damaged one is noticed and named."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.browsing import SampleQuery, browse
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.sample_index import check_index, read_index_summary
from mistudio_pipelines.text.search import SampleIndex
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset

TEXTS = [f"sample number {number} has words" for number in range(300)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = make_dataset(tmp_path_factory.mktemp("data"), {"train": TEXTS})
    ingest(store, DATASET_ID)
    return store


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "data")
    return type(made)(tmp_path / "data")


def largest(folder):
    return max((folder / "tantivy").iterdir(), key=lambda path: path.stat().st_size)


def replace(path, content):
    """Put other content in a file's place; what has the old one mapped keeps it."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def test_a_new_index_is_whole_and_says_what_it_holds(store):
    assert check_index(store, DATASET_ID) == []
    summary = read_index_summary(store, DATASET_ID)
    assert summary.samples == len(TEXTS)
    assert summary.text_bytes == sum(map(len, TEXTS))
    found = sum(path.stat().st_size for path in store.index(DATASET_ID).rglob("*") if path.is_file())
    assert summary.bytes == found - (store.index(DATASET_ID) / "index.json").stat().st_size


def test_nothing_but_the_files_it_names_is_in_the_folder(store):
    folder = store.index(DATASET_ID)
    named = {file.path for file in read_index_summary(store, DATASET_ID).files}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == named | {"index.json"}


def test_a_cut_file_is_noticed_when_the_index_is_opened(store):
    path = largest(store.index(DATASET_ID))
    os.truncate(path, path.stat().st_size - 1)
    assert f"{path.name} has" in check_index(store, DATASET_ID)[0]
    with pytest.raises(MistudioError) as caught:
        browse(store, DATASET_ID, SampleQuery(search="words"))
    assert caught.value.code == ErrorCode.DATA_CORRUPT
    assert path.name in caught.value.message
    assert "sample_index" in caught.value.next_step
    # What needs no index goes on.
    assert browse(store, DATASET_ID, SampleQuery()).total == len(TEXTS)


def test_a_changed_byte_is_noticed_by_the_check(store):
    path = largest(store.index(DATASET_ID))
    content = bytearray(path.read_bytes())
    content[10] ^= 0xFF
    replace(path, bytes(content))
    assert check_index(store, DATASET_ID, hashes=False) == []
    assert check_index(store, DATASET_ID) == [f"tantivy/{path.name} has changed since it was written."]


def test_no_damage_of_a_byte_ends_in_anything_but_an_answer_or_a_clear_error(store):
    folder = store.index(DATASET_ID)
    for path in sorted((folder / "tantivy").iterdir()):
        original = path.read_bytes()
        for place in range(0, len(original), max(1, len(original) // 12)):
            replace(path, original[:place] + bytes([original[place] ^ 0xFF]) + original[place + 1 :])
            try:
                browse(store, DATASET_ID, SampleQuery(search="sample words*", sort="relevance"))
            except MistudioError as error:
                assert error.code == ErrorCode.DATA_CORRUPT
        replace(path, original)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_an_unreadable_summary_is_said(store, content):
    (store.index(DATASET_ID) / "index.json").write_text(content)
    assert "damaged" in check_index(store, DATASET_ID)[0]
    with pytest.raises(MistudioError) as caught:
        SampleIndex(store, DATASET_ID)
    assert caught.value.code == ErrorCode.DATA_CORRUPT


def test_an_index_of_fewer_samples_than_it_says_is_noticed(store):
    path = store.index(DATASET_ID) / "index.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"samples": 299}))
    assert any("299" in problem for problem in check_index(store, DATASET_ID))


def test_a_missing_index_is_said(store):
    shutil.rmtree(store.index(DATASET_ID))
    assert check_index(store, DATASET_ID) == [f"Dataset {DATASET_ID} has no search index yet."]
