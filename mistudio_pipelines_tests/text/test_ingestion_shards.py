"""Ingestion spread over workers: what comes out is what one pass makes."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.text import blocks, ingestion_shards, sample_index_writer
from mistudio_pipelines.text.browsing import SampleQuery, browse
from mistudio_pipelines.text.ingestion import ingest
from mistudio_pipelines.text.ingestion_shards import plan_ingestion
from mistudio_pipelines.text.reading import RowGroup, list_row_groups
from mistudio_pipelines.text.sample_index import TANTIVY_NAME, check_index
from mistudio_pipelines.text.statistics_model import check_statistics
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset

WORDS = ["cat", "dog", "café", "cafe", "東京", "x" * 300, "naïve", "the", "12", "\u2003"]


def make_splits() -> dict[str, list[str | None]]:
    generator = random.Random(7)
    texts = [" ".join(generator.choices(WORDS, k=generator.randrange(9))) or None for _ in range(400)]
    return {"train": texts[:250], "test": texts[250:], "none": []}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(ingestion_shards, "_SMALLEST_SHARD_BYTES", 500)


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_workers_make_the_statistics_and_the_index_of_one_pass(tmp_path, small_shards, workers):
    alone = make_dataset(tmp_path / "alone", make_splits(), row_group_size=20, replaced_characters=3)
    spread = make_dataset(tmp_path / "spread", make_splits(), row_group_size=20, replaced_characters=3)
    manifest = read_manifest(spread.raw(DATASET_ID))
    assert len(plan_ingestion(list_row_groups(spread.raw(DATASET_ID), manifest))) > 5
    expected = ingest(alone, DATASET_ID)
    progress = []
    pool = ThreadPoolExecutor(3) if workers == "threads" else ProcessPoolExecutor(2, get_context("spawn"))
    with pool:
        made = ingest(spread, DATASET_ID, executor=pool, on_progress=progress.append)

    assert made.statistics.total == expected.statistics.total
    assert made.statistics.splits == expected.statistics.splits
    assert made.index.samples == expected.index.samples == 400
    assert check_index(spread, DATASET_ID) == []
    assert check_statistics(made.statistics, manifest) == []
    assert progress[-1].done == progress[-1].total
    assert not spread.index_partial(DATASET_ID).exists()
    for search in ("cat", "cafe", '"the dog"', "東京 OR 12", "ca*", "NOT cat"):
        query = SampleQuery(search=search, page_size=500)
        assert browse(spread, DATASET_ID, query).samples == browse(alone, DATASET_ID, query).samples
    assert ingest(spread, DATASET_ID).unchanged


def test_an_index_of_many_segments_that_were_never_merged_finds_the_same(tmp_path, monkeypatch):
    whole, pieces = (make_dataset(tmp_path / name, make_splits(), row_group_size=20) for name in ("one", "many"))
    ingest(whole, DATASET_ID)
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 300)
    monkeypatch.setattr(sample_index_writer, "_BYTES_PER_INDEX", 900)
    assert ingest(pieces, DATASET_ID).index.samples == 400
    folder = pieces.index(DATASET_ID)
    assert len(list((folder / TANTIVY_NAME).glob("*.pos"))) > 10
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.index(DATASET_ID).iterdir()}
    assert check_index(pieces, DATASET_ID) == []
    for search in ("cat", '"the dog"', "NOT cat", "ca* AND 東京"):
        query = SampleQuery(search=search, page_size=500)
        assert browse(pieces, DATASET_ID, query).samples == browse(whole, DATASET_ID, query).samples


def test_a_stop_ends_all_workers_and_leaves_nothing(tmp_path, small_shards):
    store = make_dataset(tmp_path, make_splits(), row_group_size=20)
    with ThreadPoolExecutor(2) as pool, pytest.raises(Stopped):
        ingest(store, DATASET_ID, executor=pool, should_stop=lambda: True)
    assert not store.index_partial(DATASET_ID).exists()
    assert not store.index(DATASET_ID).exists()


def test_a_dataset_without_texts_is_one_shard(tmp_path):
    store = make_dataset(tmp_path, {})
    with ThreadPoolExecutor(1) as pool:
        assert ingest(store, DATASET_ID, executor=pool).index.samples == 0


@given(st.lists(st.integers(0, 500_000_000), max_size=60))
def test_shards_hold_every_row_group_once_in_order_and_are_not_too_large(sizes):
    groups = [RowGroup(0, "train", number, 1, number, size) for number, size in enumerate(sizes)]
    shards = plan_ingestion(groups)
    assert [pair for shard in shards for pair in shard] == [(0, number) for number in range(len(sizes))]
    for shard in shards:
        assert len(shard) <= 1 or sum(sizes[number] for _, number in shard) <= 320_000_000
