"""Statistics of tokens, against counting them one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from mistudio_pipelines.tokenization.statistics import LengthCounts, count_ids
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(1, 50), max_size=30), max_size=5))
def test_lengths_in_parts_give_the_statistics_of_the_whole(parts):
    counts = LengthCounts()
    for part in parts:
        counts.add(np.array(part, np.int64))
    whole = np.array([length for part in parts for length in part], np.int64)

    found = counts.statistics()

    if not len(whole):
        assert found is None
        return
    assert (found.documents, found.min, found.max) == (len(whole), whole.min(), whole.max())
    assert found.mean == pytest.approx(whole.mean())
    assert found.median == np.median(whole)
    for percent, value in found.percentiles.items():
        assert value == np.percentile(whole, percent, method="inverted_cdf")
    histogram, edges = np.histogram(whole, 20)
    assert found.histogram_counts == tuple(histogram)
    assert found.histogram_edges == tuple(edges)


def test_ids_are_counted_over_slices_as_at_once():
    tokens = np.random.default_rng(1).integers(0, 500, 700_000).astype(np.uint32)

    assert count_ids(tokens, 500).tolist() == np.bincount(tokens, minlength=500).tolist()


@pytest.mark.parametrize("mode", ["packed", "padded"])
def test_the_statistics_are_those_of_the_rows(mode, store, tokenizer_folder):
    texts = [f"The fox {'jumps over the dog ' * (number % 9)}" for number in range(80)]
    make_dataset(store.root, {"train": texts})

    result = tokenize(store, tokenizer_folder("sample"), mode=mode, context_size=32)

    found = result.statistics
    rows = rows_of(store, "train")
    masks = rows_of(store, "train", column="attention_mask") if mode == "padded" else [[1] * 32] * len(rows)
    real = Counter(
        token
        for row, mask in zip(rows, masks, strict=True)
        for token, is_real in zip(row, mask, strict=True)
        if is_real
    )
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder("sample")))
    assert {token.id: token.count for token in found.most_frequent} == dict(real.most_common(50))
    assert found.most_frequent[0].text == tokenizer.decode([found.most_frequent[0].id])
    assert (found.used_ids, found.unused_share) == (len(real), 1 - len(real) / 4096)
    assert found.special_tokens["bos"] == real[tokenizer.bos_token_id]
    assert found.bytes_per_token == sum(len(text) for text in texts) / result.counts.tokens_encoded
    assert found.padding_share == pytest.approx(1 - sum(real.values()) / (32 * len(rows)))
    counts = np.load(store.tokenized(DATASET_ID, "p") / found.counts_file)
    assert {token: int(count) for token, count in enumerate(counts) if count} == dict(real)
    assert counts.dtype == np.uint64
