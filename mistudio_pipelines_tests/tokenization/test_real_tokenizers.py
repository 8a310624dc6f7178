"""The five real tokenizers of the benchmark data, on real text and the whole of Unicode; only where that data is."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from mistudio_pipelines.tokenization import engine_choice, planning
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.plain_reference import pack_plainly
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

DATA = Path(os.environ.get("MISTUDIO_BENCHMARK_DATA", "../shared/data"))
ENGINES = {
    "gpt2": "fastokens",
    "deepseek": "fastokens",
    "llama2": "tokenizers",
    "bert": "tokenizers",
    "t5": "transformers",
}

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason="the benchmark data is not here"),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ENGINES)
def test_rows_are_those_of_auto_tokenizer_with_the_engine_that_is_proved(kind, store, monkeypatch):
    monkeypatch.setattr(engine_choice, "WORTH_PROVING_BYTES", 0)
    monkeypatch.setattr(planning, "SHARD_BYTES", 300_000)
    file = pq.ParquetFile(sorted((DATA / "corpus").glob("*.parquet"))[1])
    texts = [
        text for batch in islice(file.iter_batches(400, columns=["text"]), 2) for text in batch["text"].to_pylist()
    ]
    make_dataset(store.root, {"train": texts})

    result = tokenize(store, DATA / "tokenizers" / kind, context_size=256)

    assert result.engine.engine == ENGINES[kind]
    tokenizer = AutoTokenizer.from_pretrained(str(DATA / "tokenizers" / kind))
    bos = tokenizer.bos_token_id
    rows, tail, specials = pack_plainly(map(tokenizer.encode, texts), 256, bos, None, bos)
    assert rows_of(store, "train") == rows
    assert (result.counts.tail, result.counts.specials_added) == (tail, specials)
    assert check_tokenization(store, DATASET_ID, "p") == []
