"""The proof that no token was lost or invented finds what is wrong; sources answer where a token came from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization import output, planning
from mistudio_pipelines.tokenization.proof import check_tokenization, read_tokenization
from mistudio_pipelines.tokenization.sources import TokenSource, source_of_token, sources_of_row
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

TEXTS = [None if number % 11 == 5 else f"Document {number}: " + "fox, " * (number % 37) for number in range(200)]


@pytest.fixture
def tokenized(store, tokenizer_folder, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_BYTES", 4_000)
    monkeypatch.setattr(output, "FILE_TOKENS", 2_000)
    make_dataset(store.root, {"train": TEXTS, "test": TEXTS[::-1]}, row_group_size=17)

    def make(**settings):
        result = tokenize(store, tokenizer_folder("sample"), **{"context_size": 32, **settings})
        assert check_tokenization(store, DATASET_ID, "p") == []
        return result

    return make


def tamper(store, path: tuple, change) -> list[str]:
    """Change one value of tokenization.json and check."""
    file = store.tokenized(DATASET_ID, "p") / "tokenization.json"
    content = json.loads(file.read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    file.write_text(json.dumps(content))
    return check_tokenization(store, DATASET_ID, "p")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (("counts_by_split", "train", "tokens_encoded"), "train: 1 tokens were lost"),
        (("counts_by_split", "train", "specials_added"), "train: 1 tokens were lost"),
        (("counts_by_split", "train", "tail"), "train: 1 tokens were invented"),
        (("counts_by_split", "train", "row_tokens"), "do not hold the tokens that were written"),
        (("shards", 0, "tokens_encoded"), "its stream is not the tokens encoded"),
        (("shards", 1, "documents"), "its documents are not those encoded"),
        (("shards", 2, "rows"), "The rows of the shards do not add up"),
        (("files", 0, "rows"), "does not have"),
    ],
)
def test_one_token_too_many_or_too_few_anywhere_is_found(path, sentence, tokenized, store):
    tokenized()

    assert any(sentence in problem for problem in tamper(store, path, lambda value: value + 1))


def test_a_damaged_or_missing_file_is_named(tokenized, store):
    tokenized()
    folder = store.tokenized(DATASET_ID, "p")
    files = read_tokenization(store, DATASET_ID, "p").files
    damaged = folder / files[0].path
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    (folder / files[1].path).unlink()
    (folder / files[2].sources).write_bytes(b"")
    counts = np.load(folder / "token_counts.npy")
    counts[7] += 1
    np.save(folder / "token_counts.npy", counts)

    problems = check_tokenization(store, DATASET_ID, "p")

    assert problems == [
        f"{files[0].path} is damaged.",
        f"{files[1].path} is missing.",
        f"{files[2].sources} is damaged.",
        "token_counts.npy does not count the tokens that are in the rows.",
    ]


def test_a_tokenization_that_is_not_there_is_an_error_with_those_that_are(tokenized, store):
    tokenized()

    with pytest.raises(MistudioError, match=r"It has p\.") as refused:
        read_tokenization(store, DATASET_ID, "other")
    assert refused.value.code is ErrorCode.DATA_MISSING
    (store.tokenized(DATASET_ID, "p") / "tokenization.json").write_text("{}")
    with pytest.raises(MistudioError, match="cannot be read"):
        check_tokenization(store, DATASET_ID, "p")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle_seed": 11},
        {"begin_of_sequence": "eos", "separator": None},
        {"mode": "padded"},
        {"mode": "padded", "truncation": "split", "stride": 3, "shuffle_seed": 2},
        {"mode": "per_document", "truncation": "split"},
    ],
)
def test_every_token_of_every_row_is_traced_to_its_document(settings, tokenized, store, tokenizer_folder):
    tokenized(**settings)
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder("sample")))
    documents = {
        number: tokenizer.encode(text) for number, text in enumerate([*TEXTS, *TEXTS[::-1]]) if text is not None
    }
    special = set(tokenizer.all_special_ids)

    for split in ("train", "test"):
        for number, row in enumerate(rows_of(store, split)[:60]):
            stretches = sources_of_row(store, DATASET_ID, "p", split, number)
            traced = [None] * len(row)
            for stretch in stretches:
                for place in range(stretch.length):
                    source = TokenSource(stretch.sample, stretch.offset + place)
                    traced[stretch.position + place] = documents[source.sample][source.offset]
            assert all(
                token in special if known is None else token == known for token, known in zip(row, traced, strict=True)
            )


def test_rows_padded_on_the_left_are_traced_too(store, tmp_path, tokenizer_folder):
    import shutil

    folder = tmp_path / "left"
    shutil.copytree(tokenizer_folder("word_piece"), folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "padding_side": "left"}))
    make_dataset(store.root, {"train": ["the fox", "again and again"]})

    tokenize(store, folder, mode="padded", context_size=16)

    (stretch,) = sources_of_row(store, DATASET_ID, "p", "train", 1)
    row = rows_of(store, "train")[1]
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    expected = tokenizer.encode("again and again", add_special_tokens=False)
    assert row[stretch.position : stretch.position + stretch.length] == expected
    assert row[-1] == tokenizer.sep_token_id
    assert row[0] == tokenizer.pad_token_id
    assert (stretch.sample, stretch.offset) == (1, 0)


def test_special_tokens_come_from_no_document_and_unknown_rows_are_refused(tokenized, store):
    tokenized()

    assert source_of_token(store, DATASET_ID, "p", "train", 0, 0) is None
    assert source_of_token(store, DATASET_ID, "p", "train", 0, 1) == TokenSource(0, 0)
    with pytest.raises(MistudioError, match="no row 99,999 in split train"):
        sources_of_row(store, DATASET_ID, "p", "train", 99999)


def test_sources_are_left_out_where_that_is_asked(tokenized, store):
    tokenized(keep_sources=False)

    assert not list((store.tokenized(DATASET_ID, "p")).glob("sources/*"))
    with pytest.raises(MistudioError, match="does not keep where tokens came from"):
        sources_of_row(store, DATASET_ID, "p", "train", 0)
