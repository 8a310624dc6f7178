"""The sample that ships with the project: small, readable, and what its script says."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
from transformers import AutoTokenizer

from mistudio_pipelines.sample.make_sample import ROWS_PER_ROW_GROUP, SPECIAL_TOKENS, VOCABULARY_SIZE, sections
from mistudio_pipelines_tests.tokenization.tokenizer_folders import SAMPLE


def test_the_sample_is_about_two_megabytes_of_text_in_several_hundred_documents():
    tables = [pq.read_table(SAMPLE / "data" / f"{split}.parquet") for split in ("train", "validation")]

    texts = [text for table in tables for text in table["text"].to_pylist()]
    assert 1_500_000 < sum(len(text.encode()) for text in texts) < 2_500_000
    assert len(texts) > 500
    assert all(texts)
    metadata = pq.read_metadata(SAMPLE / "data" / "train.parquet")
    assert metadata.row_group(0).num_rows == ROWS_PER_ROW_GROUP
    assert metadata.row_group(0).column(1).compression == "ZSTD"


def test_no_address_is_in_both_splits():
    speeches = [
        set(pq.read_table(SAMPLE / "data" / f"{split}.parquet")["speech"].to_pylist())
        for split in ("train", "validation")
    ]

    assert speeches[0].isdisjoint(speeches[1])


def test_the_tokenizer_is_small_and_has_what_presets_need():
    tokenizer = AutoTokenizer.from_pretrained(str(SAMPLE / "tokenizer"))

    assert len(tokenizer) == VOCABULARY_SIZE
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == SPECIAL_TOKENS
    assert tokenizer.model_max_length == 1024
    text = "Fellow-Citizens: naïve 漢字 👍\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (SAMPLE / "tokenizer" / "tokenizer.json").stat().st_size < 500_000
    assert json.loads((SAMPLE / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"] == 1024


def test_sections_are_the_paragraphs_of_an_address_and_lose_none():
    address = "\n\n".join(f"Paragraph {number}. " + "word " * (number * 37 % 400) for number in range(60))

    cut = list(sections(address))

    assert len(cut) > 3
    assert "\n\n".join(cut) == "\n\n".join(part.strip() for part in address.split("\n\n"))
