"""The one pass: what it makes, when it does nothing, and what a stop or a crash leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.store.locks import INDEX_PART, dataset_lock
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.text import blocks
from mistudio_pipelines.text.browsing import SampleQuery, browse
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.sample_index import check_index
from mistudio_pipelines.text.statistics_model import check_statistics, read_statistics
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset

TEXTS = ["the cat sat", "the dog", None, "", " \u2003\n", "the cat sat", "caf\u00e9 \ufffd \x1cend", "the dog"]


def expected_statistics(texts):
    """The same statistics by the shortest Python there is."""
    words = [(text or "").split() for text in texts]
    counts = [len(split) for split in words]
    present = [text for text in texts if text is not None]
    return {
        "samples": len(texts),
        "tokens": sum(counts),
        "min_tokens": min(counts),
        "max_tokens": max(counts),
        "mean_tokens": pytest.approx(np.mean(counts)),
        "median_tokens": pytest.approx(np.median(counts)),
        "p5_tokens": pytest.approx(np.percentile(counts, 5)),
        "p95_tokens": pytest.approx(np.percentile(counts, 95)),
        "p99_tokens": pytest.approx(np.percentile(counts, 99)),
        "vocabulary": len({word for split in words for word in split}),
        "characters": sum(map(len, present)),
        "bytes": sum(len(text.encode()) for text in present),
        "nulls": len(texts) - len(present),
        "empties": present.count(""),
        "blanks": sum(1 for text in present if text and not text.split()),
        "duplicates": len([text for text in present if text]) - len({text for text in present if text}),
        "replacement_characters": sum(text.count("\ufffd") for text in present),
    }


def check_against_python(statistics, texts):
    dumped = statistics.model_dump()
    expected = expected_statistics(texts)
    assert {name: dumped[name] for name in expected} == expected
    counted = Counter(word for text in texts for word in (text or "").split())
    named = statistics.most_frequent_words
    assert [word.count for word in named] == [count for _, count in counted.most_common(50)]
    assert all(counted[word.word] == word.count for word in named)
    assert sum(statistics.histogram.counts) == len(texts)


def test_statistics_of_each_split_and_of_all_equal_those_of_plain_python(tmp_path):
    splits = {"train": TEXTS, "test": ["the cat sat", "a b c d"]}
    store = make_dataset(tmp_path, splits, row_group_size=3, replaced_characters=2)
    result = ingest(store, DATASET_ID)
    assert not result.unchanged
    statistics = read_statistics(store, DATASET_ID)
    assert statistics == result.statistics
    assert list(statistics.splits) == ["train", "test"]
    for split, texts in splits.items():
        check_against_python(statistics.splits[split], texts)
    check_against_python(statistics.total, [*splits["train"], *splits["test"]])
    assert statistics.total.invalid_sequences == 2
    assert statistics.index_bytes == result.index.bytes > 0
    manifest = read_manifest(store.raw(DATASET_ID))
    assert check_statistics(statistics, manifest) == []
    assert check_index(store, DATASET_ID) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)), min_size=1))
def test_any_texts_are_counted_as_python_counts_them(tmp_path_factory, texts):
    store = make_dataset(tmp_path_factory.mktemp("data"), {"train": texts}, row_group_size=4)
    check_against_python(ingest(store, DATASET_ID).statistics.total, texts)


def test_blocks_of_any_size_give_the_same_statistics(tmp_path, monkeypatch):
    texts = [f"word{number % 7} {'x' * (number % 11)}" for number in range(200)]
    store = make_dataset(tmp_path, {"train": texts, "test": texts[:50]}, row_group_size=9)
    whole = ingest(store, DATASET_ID).statistics
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 64)
    store.statistics(DATASET_ID).unlink()
    pieces = ingest(store, DATASET_ID).statistics
    assert pieces.total == whole.total
    assert pieces.splits == whole.splits


def test_the_first_samples_are_shown_with_split_and_tokens(tmp_path):
    store = make_dataset(tmp_path, {"train": ["a b", None], "test": ["c" * 500]})
    shown = ingest(store, DATASET_ID).first_samples
    assert [(sample["number"], sample["split"], sample["tokens"]) for sample in shown] == [
        (0, "train", 2),
        (1, "train", 0),
        (2, "test", 1),
    ]
    assert len(shown[2]["text"]) < 500


@pytest.mark.parametrize("splits", [{}, {"train": []}, {"train": [None, None]}])
def test_a_dataset_without_texts_has_statistics_too(tmp_path, splits):
    store = make_dataset(tmp_path, splits)
    result = ingest(store, DATASET_ID)
    assert result.statistics.total.tokens == 0
    assert result.statistics.total.vocabulary == 0
    assert ingest(store, DATASET_ID).unchanged
    assert browse(store, DATASET_ID, SampleQuery(search="x")).samples == []


def test_a_second_pass_over_the_same_data_does_nothing(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})
    first = ingest(store, DATASET_ID)
    read = []
    second = ingest(store, DATASET_ID, on_progress=read.append)
    assert second.unchanged
    assert read == []
    assert second.statistics == first.statistics
    assert second.index == first.index
    assert second.first_samples == first.first_samples


def test_other_data_is_read_again(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})
    ingest(store, DATASET_ID)
    make_dataset(tmp_path, {"train": ["new words"]}, revision="r2")
    with pytest.raises(MistudioError) as caught:
        browse(store, DATASET_ID, SampleQuery(search="new"))
    assert caught.value.code == ErrorCode.INDEX_MISSING
    result = ingest(store, DATASET_ID)
    assert not result.unchanged
    assert result.statistics.data_revision == "r2"
    assert browse(store, DATASET_ID, SampleQuery(search="new")).total == 1


def test_other_code_reads_again(tmp_path, monkeypatch):
    store = make_dataset(tmp_path, {"train": TEXTS})
    ingest(store, DATASET_ID)
    monkeypatch.setattr("mistudio_pipelines.text.fingerprint.STATISTICS_CODE_VERSION", "another")
    # The index still serves: only the statistics are another version's.
    assert browse(store, DATASET_ID, SampleQuery(search="cat")).total == 2
    assert not ingest(store, DATASET_ID).unchanged
    assert read_statistics(store, DATASET_ID).code_version == "another"


def damage_nothing(store):
    store.statistics(DATASET_ID).unlink()


def damage_statistics(store):
    store.statistics(DATASET_ID).write_text('{"format_version": 1}')


def damage_a_byte_of_the_index(store):
    path = max((store.index(DATASET_ID) / "tantivy").iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def damage_by_cutting(store):
    os.truncate(store.index(DATASET_ID) / "tokens.u32", 4)


def damage_by_removing(store):
    (store.index(DATASET_ID) / "accents.sqlite").unlink()


@pytest.mark.parametrize(
    "damage",
    [damage_nothing, damage_statistics, damage_a_byte_of_the_index, damage_by_cutting, damage_by_removing],
)
def test_what_is_missing_or_damaged_is_made_again(tmp_path, damage):
    store = make_dataset(tmp_path, {"train": TEXTS})
    ingest(store, DATASET_ID)
    damage(store)
    assert not ingest(store, DATASET_ID).unchanged
    assert check_index(store, DATASET_ID) == []
    assert ingest(store, DATASET_ID).unchanged


def test_a_stopped_pass_leaves_what_was_there_before(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})
    before = ingest(store, DATASET_ID)
    make_dataset(tmp_path, {"train": ["one"] * 500}, revision="r2")
    with pytest.raises(Stopped):
        ingest(store, DATASET_ID, should_stop=lambda: True)
    assert read_statistics(store, DATASET_ID) == before.statistics
    assert check_index(store, DATASET_ID) == []
    assert not store.index_partial(DATASET_ID).exists()


def test_an_interrupt_in_the_middle_publishes_nothing(tmp_path):
    store = make_dataset(tmp_path, {"train": ["one two three"] * 500})

    def interrupt(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(store, DATASET_ID, on_progress=interrupt)
    assert not store.index(DATASET_ID).exists()
    assert not store.statistics(DATASET_ID).exists()
    assert not store.index_partial(DATASET_ID).exists()
    assert not ingest(store, DATASET_ID).unchanged


def test_progress_ends_at_the_bytes_that_were_announced(tmp_path):
    store = make_dataset(tmp_path, {"train": ["some words here"] * 1000})
    told = []
    ingest(store, DATASET_ID, on_progress=told.append)
    assert told
    assert all(progress.done <= progress.total for progress in told)
    assert told[-1].done == told[-1].total


def test_raw_files_that_change_during_the_pass_are_not_published(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})

    def replace(_progress):
        manifest = store.raw(DATASET_ID) / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"revision": "r2"}))

    with pytest.raises(MistudioError) as caught:
        ingest(store, DATASET_ID, on_progress=replace)
    assert caught.value.code == ErrorCode.BUSY
    assert caught.value.transient
    assert not store.index(DATASET_ID).exists()


def test_two_passes_at_once_read_the_texts_once(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS * 50})
    results = []
    threads = [threading.Thread(target=lambda: results.append(ingest(store, DATASET_ID))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.unchanged for result in results) == [False, True]


KILLED = """
import sys
from pathlib import Path
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.text.ingestion import ingest
def on_progress(progress):
    print("reading", flush=True)
    sys.stdin.read()
ingest(DataStore(Path(sys.argv[1])), sys.argv[2], on_progress=on_progress)
"""


@pytest.mark.live
def test_a_killed_pass_leaves_the_old_index_serving_and_the_next_pass_clears_up(tmp_path):
    store = make_dataset(tmp_path, {"train": ["old words"]})
    ingest(store, DATASET_ID)
    make_dataset(tmp_path, {"train": ["new words"]}, revision="r2")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), DATASET_ID], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout.readline() == b"reading\n"
        child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    assert check_index(store, DATASET_ID) == []
    assert store.index_partial(DATASET_ID).exists()
    assert not ingest(store, DATASET_ID).unchanged
    assert not store.index_partial(DATASET_ID).exists()
    assert browse(store, DATASET_ID, SampleQuery(search="new")).total == 1


def test_other_columns_are_described(tmp_path):
    many = [f"id{number}" for number in range(1500)]
    store = make_dataset(
        tmp_path,
        {"train": ["x"] * 1500},
        columns={
            "train": {
                "id": many,
                "stars": pa.array([None, 1, 5] * 500, pa.int8()),
                "lang": ["en", "de", None] * 500,
                "flag": [True, None, None] * 500,
                "tags": [["a"], None, []] * 500,
                "nothing": pa.nulls(1500),
            }
        },
    )
    columns = {column.name: column for column in ingest(store, DATASET_ID).statistics.columns}
    assert list(columns) == ["id", "stars", "lang", "flag", "tags", "nothing"]
    assert (columns["id"].distinct, columns["id"].distinct_over, columns["id"].nulls) == (None, 1000, 0)
    assert (columns["id"].minimum, columns["id"].maximum) == ("id0", "id999")
    assert (columns["stars"].type, columns["stars"].nulls) == ("int8", 500)
    assert (columns["stars"].distinct, columns["stars"].minimum, columns["stars"].maximum) == (2, "1", "5")
    assert (columns["lang"].distinct, columns["lang"].nulls) == (2, 500)
    assert (columns["flag"].distinct, columns["flag"].minimum, columns["flag"].nulls) == (1, None, 1000)
    assert (columns["tags"].distinct, columns["tags"].nulls) == (None, 500)
    assert columns["nothing"].nulls == 1500


def test_a_column_that_only_some_files_have_is_null_in_the_others(tmp_path):
    store = make_dataset(tmp_path, {"train": ["a"], "test": ["b", "c"]}, columns={"test": {"year": [1990, 2000]}})
    (year,) = ingest(store, DATASET_ID).statistics.columns
    assert (year.nulls, year.distinct, year.minimum, year.maximum) == (1, 2, "1990", "2000")


def test_a_column_whose_type_differs_between_files_is_described_as_far_as_the_types_go(tmp_path):
    store = make_dataset(
        tmp_path,
        {"train": ["a", "b"], "test": ["c"]},
        columns={
            "train": {
                "n": pa.array([1, 2], pa.int32()),
                "mixed": [1, None],
                "c": pa.array(["x", "y"]).dictionary_encode(),
            },
            "test": {"n": pa.array([3.5]), "mixed": [[1]], "c": ["x"]},
        },
    )
    number, mixed, category = ingest(store, DATASET_ID).statistics.columns
    assert (number.type, number.minimum, number.maximum, number.distinct) == ("int32 or double", "1.0", "3.5", 3)
    assert (mixed.type, mixed.nulls, mixed.distinct) == ("int64 or list<element: int64>", 1, None)
    assert category.distinct == 2


def test_a_stop_while_another_run_indexes_is_prompt(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})
    with dataset_lock(store, DATASET_ID, INDEX_PART, "being indexed"), pytest.raises(Stopped):
        ingest(store, DATASET_ID, should_stop=lambda: True)


def test_statistics_that_do_not_add_up_are_told_one_by_one(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS, "test": ["a"]})
    statistics = ingest(store, DATASET_ID).statistics
    manifest = read_manifest(store.raw(DATASET_ID))
    train = statistics.splits["train"]
    wrong = train.model_copy(update={"samples": 7, "vocabulary": 10**6, "p5_tokens": 99.0})
    broken = statistics.model_copy(update={"splits": {**statistics.splits, "train": wrong}})
    told = " ".join(check_statistics(broken, manifest))
    assert "Split train has 7 samples, the manifest has 8." in told
    assert "the histogram holds 8 samples of 7" in told
    assert "different words" in told
    assert "not in order" in told
    other = manifest.model_copy(update={"revision": "r9", "files": manifest.files[:1]})
    told = " ".join(check_statistics(statistics, other))
    assert "r9" in told
    assert "The splits are" in told


def test_reading_statistics_that_are_not_there_says_how_to_make_them(tmp_path):
    store = make_dataset(tmp_path, {"train": TEXTS})
    with pytest.raises(MistudioError) as caught:
        read_statistics(store, DATASET_ID)
    assert caught.value.code == ErrorCode.DATA_MISSING
    assert "materialize `statistics`" in caught.value.next_step


def test_a_stop_in_the_middle_is_prompt_though_texts_wait_in_the_queue(tmp_path):
    store = make_dataset(tmp_path, {"train": ["many words in a text of some length " * 50] * 4000})
    asked = []

    def should_stop():
        asked.append(time.monotonic())
        return len(asked) > 40

    with pytest.raises(Stopped):
        ingest(store, DATASET_ID, should_stop=should_stop)
    assert time.monotonic() - asked[-1] < 5
    assert not store.index_partial(DATASET_ID).exists()
