"""Tokenizing a dataset, against `AutoTokenizer` called for one document at a time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from transformers import AutoTokenizer

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization import output, planning
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.plain_reference import fill_plainly, pack_plainly, pad_plainly
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

HARD = [
    "Hello world.",
    "",
    None,
    "It's 1,234.5 % – naïve café\u2028\u2029 \x00\x01 tab\tnew\nline   spaces ",
    "漢字とカタカナ 👍🏽👩‍👩‍👧 \U0001f6d8 \ufffd\ufffe e\u0301 עברית",
    " ",
    "word " * 700,
    "<|endoftext|><|bos|>x<|eos|> [SEP] </s>",
    "\n\n\n",
    "x" * 3000,
]
# ByT5 warns of texts that end with </s>.
pytestmark = pytest.mark.filterwarnings("ignore:This sequence already has </s>")
KINDS = ("sample", "gpt2", "deepseek", "word_piece", "unigram", "sentence_piece_bpe", "slow")


@pytest.fixture
def small_shards(monkeypatch):
    """Shards, files and row groups so small that every border is crossed."""
    monkeypatch.setattr(planning, "SHARD_BYTES", 4_000)
    monkeypatch.setattr(output, "FILE_TOKENS", 1_000)


def many_texts(seed: int = 0, count: int = 150) -> list[str | None]:
    chooser = random.Random(seed)
    words = ["fox", "dog", " the", "naïve", "漢字", "1234", "jumps!", "\n", "👍", "it's"]
    texts = [" ".join(chooser.choices(words, k=chooser.randrange(0, 60))) for _ in range(count)]
    return [*texts[:50], *HARD, *texts[50:]]


def encode_plainly(folder, texts, **options) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return [tokenizer.encode(text, **options) for text in texts if text is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_are_those_of_auto_tokenizer_and_the_plain_rules(kind, store, tokenizer_folder, small_shards):
    folder, texts = tokenizer_folder(kind), many_texts()
    make_dataset(store.root, {"train": texts, "test": texts[:20]}, row_group_size=13)

    result = tokenize(store, folder, context_size=64)

    ids = result.tokenizer.special_tokens
    specials = {"head": ids.get("bos"), "begin": None, "separator": ids.get("bos")}
    for split, of_split in (("train", texts), ("test", texts[:20])):
        documents = encode_plainly(folder, of_split)
        rows, tail, added = pack_plainly(documents, 64, **specials)
        counts = result.tokenization.counts_by_split[split]
        assert rows_of(store, split) == rows
        assert (counts.tail, counts.specials_added) == (tail, added)
        assert counts.tokens_encoded == sum(map(len, documents))
        assert counts.documents == len(of_split)
        assert counts.nulls == of_split.count(None)
        assert counts.empty == documents.count([])
    assert check_tokenization(store, DATASET_ID, "p") == []
    assert len(result.tokenization.shards) > 2
    assert len(result.tokenization.files) > 2


@pytest.mark.parametrize("kind", ["sample", "word_piece", "unigram", "slow"])
@pytest.mark.parametrize("truncation", ["truncate", "split"])
def test_padded_rows_are_those_of_auto_tokenizer(kind, truncation, store, tokenizer_folder, small_shards):
    folder, texts = tokenizer_folder(kind), many_texts(1)
    make_dataset(store.root, {"train": texts}, row_group_size=13)
    stride = 5 if truncation == "split" else 0

    result = tokenize(store, folder, mode="padded", context_size=32, truncation=truncation, stride=stride)

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    width = 32 - len(tokenizer.encode(""))
    bare = [ids for ids in encode_plainly(folder, texts, add_special_tokens=False) if ids]
    windows = []
    for ids in bare:
        starts = range(0, len(ids), width - stride) if truncation == "split" else [0]
        for start in starts:
            windows.append(frame(tokenizer, ids[start : start + width]))
            if start + width >= len(ids):
                break
    assert rows_of(store, "train") == pad_plainly(windows, 32, tokenizer.pad_token_id)
    masks = rows_of(store, "train", column="attention_mask")
    assert masks == [[1] * len(row) + [0] * (32 - len(row)) for row in windows]
    assert result.counts.padded == sum(32 - len(row) for row in windows)
    assert check_tokenization(store, DATASET_ID, "p") == []


def frame(tokenizer, ids: list[int]) -> list[int]:
    """The special tokens that the tokenizer puts around any document, around these ids."""
    around = tokenizer.encode("")
    closing = [token for token in around if token in (tokenizer.sep_token_id, tokenizer.eos_token_id)]
    return [*around[: len(around) - len(closing)], *ids, *closing]


@pytest.mark.parametrize("kind", ["sample", "word_piece", "unigram"])
def test_truncated_rows_equal_what_calling_the_tokenizer_with_truncation_and_padding_gives(
    kind, store, tokenizer_folder
):
    folder, texts = tokenizer_folder(kind), [text for text in many_texts(2) if text and text.strip()]
    make_dataset(store.root, {"train": texts})

    tokenize(store, folder, mode="padded", context_size=24)

    called = AutoTokenizer.from_pretrained(str(folder))(texts, truncation=True, padding="max_length", max_length=24)
    assert rows_of(store, "train") == called["input_ids"]
    assert rows_of(store, "train", column="attention_mask") == called["attention_mask"]


def test_rows_padded_to_the_longest_are_as_wide_as_the_longest_of_all_splits(store, tokenizer_folder):
    make_dataset(store.root, {"train": ["a b", "a"], "test": ["a b c d"]})

    result = tokenize(store, tokenizer_folder("word_piece"), mode="padded", padding="longest", context_size=64)

    assert result.tokenization.width == 6
    assert {len(row) for split in ("train", "test") for row in rows_of(store, split)} == {6}


def test_rows_that_are_not_padded_have_the_length_of_their_documents(store, tokenizer_folder):
    texts = ["a b", "a", "a b c " * 100]
    make_dataset(store.root, {"train": texts})

    tokenize(store, tokenizer_folder("sample"), mode="padded", padding="do_not_pad", truncation="none")

    assert rows_of(store, "train") == encode_plainly(tokenizer_folder("sample"), texts)


@pytest.mark.parametrize("split", [False, True])
def test_rows_of_one_document_each_drop_or_split_as_asked(split, store, tokenizer_folder, small_shards):
    folder, texts = tokenizer_folder("sentence_piece_bpe"), many_texts(3)
    make_dataset(store.root, {"train": texts}, row_group_size=13)

    result = tokenize(
        store,
        folder,
        mode="per_document",
        context_size=20,
        truncation="split" if split else "truncate",
        begin_of_batch="eos",
        begin_of_sequence="bos",
    )

    documents = encode_plainly(folder, texts)
    assert rows_of(store, "train") == fill_plainly(documents, 20, 2, 1, split=split)
    assert result.counts.dropped > 0
    assert (result.counts.truncated > 0) != split
    assert check_tokenization(store, DATASET_ID, "p") == []


def test_a_special_token_that_a_document_has_is_not_doubled_and_id_0_is_a_token_like_any_other(store, tokenizer_folder):
    # The id of deepseek's bos is 0, and Llama-like tokenizers begin every document with theirs.
    make_dataset(store.root, {"train": ["<｜begin▁of▁sentence｜>one", "two", "three four five six"]})

    tokenize(store, tokenizer_folder("deepseek"), context_size=4, begin_of_sequence="bos")

    rows = rows_of(store, "train")
    assert all(row[0] == 0 for row in rows)
    assert not any(pair == (0, 0) for row in rows for pair in pairwise(row))


def test_only_the_splits_asked_for_are_tokenized(store, tokenizer_folder):
    make_dataset(store.root, {"train": ["one two"] * 40, "test": ["three"] * 40})

    result = tokenize(store, tokenizer_folder("sample"), context_size=8, splits=("test",))

    assert list(result.rows_by_split) == ["test"]
    assert rows_of(store, "train") == []


def test_a_split_that_the_dataset_does_not_have_is_refused_with_those_it_has(store, tokenizer_folder):
    make_dataset(store.root, {"train": ["one"]})

    with pytest.raises(MistudioError, match=r"split nope.*It has train") as refused:
        tokenize(store, tokenizer_folder("sample"), splits=("nope",))
    assert refused.value.code is ErrorCode.UNKNOWN_SPLIT_OR_CONFIG


@pytest.mark.parametrize("texts", [[], [None, None], ["", ""], ["a"]])
def test_a_dataset_that_fills_no_row_gives_an_empty_file_that_loads(texts, store, tokenizer_folder):
    from datasets import load_dataset

    make_dataset(store.root, {"train": texts})

    result = tokenize(store, tokenizer_folder("sample"), context_size=64)

    assert result.counts.rows == 0
    assert check_tokenization(store, DATASET_ID, "p") == []
    folder = str(store.tokenized(DATASET_ID, "p"))
    assert list(load_dataset(folder, split="train", streaming=True)) == []


def test_a_text_that_the_tokenizer_refuses_stops_with_its_number_and_the_reason(store, tokenizer_folder):
    make_dataset(store.root, {"train": ["one two", "one unknown", "three"]})

    with pytest.raises(MistudioError, match=r"Sample 1 \(split train\) cannot be tokenized: .*UNK") as stopped:
        tokenize(store, tokenizer_folder("refusing"), context_size=4, begin_of_batch=None, separator=None)
    assert stopped.value.code is ErrorCode.TOKENIZATION_FAILED
    assert stopped.value.details["sample"] == 1


def test_a_text_that_the_tokenizer_refuses_is_skipped_and_counted_where_that_is_asked(store, tokenizer_folder):
    make_dataset(store.root, {"train": ["one two", "one unknown", "zero three", "four five one"]})
    folder = tokenizer_folder("refusing")

    result = tokenize(store, folder, context_size=3, begin_of_batch=None, separator=None, skip_invalid=True)

    assert rows_of(store, "train") == [[3, 4, 0], [5, 6, 7]]
    assert (result.counts.skipped, result.counts.tail) == (1, 1)
    assert check_tokenization(store, DATASET_ID, "p") == []


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16", "uint32"])
def test_tokens_have_the_column_name_and_type_asked_for(dtype, store, tokenizer_folder):
    import pyarrow.parquet as pq

    make_dataset(store.root, {"train": ["one two three four"] * 9})

    tokenize(store, tokenizer_folder("sample"), context_size=8, column_name="tokens", dtype=dtype)

    (path,) = (store.tokenized(DATASET_ID, "p") / "data").glob("*.parquet")
    kind = pq.read_schema(path).field("tokens").type
    assert str(kind.value_type) == dtype
    assert kind.list_size == 8
