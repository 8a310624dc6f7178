"""Previews of texts, and estimates before tokenizing."""

from __future__ import annotations

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization import estimate as estimate_module
from mistudio_pipelines.tokenization.estimate import estimate
from mistudio_pipelines.tokenization.preview import preview_tokens
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import tokenize


def test_the_pieces_are_the_text(store, tokenizer_folder):
    text = "The fox <|eos|> says: naïve!\n"

    pieces = preview_tokens(store, str(tokenizer_folder("sample")), text)

    covered = ""
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end]
        covered += text[len(covered) : piece.end]
    assert covered == text
    assert [piece.text for piece in pieces if piece.special] == ["<|eos|>"]


def test_special_tokens_that_are_added_stand_with_their_names(store, tokenizer_folder):
    pieces = preview_tokens(store, str(tokenizer_folder("word_piece")), "the fox")

    assert (pieces[0].text, pieces[0].start, pieces[0].special) == ("[CLS]", None, True)
    assert pieces[-1].text == "[SEP]"
    bare = preview_tokens(store, str(tokenizer_folder("word_piece")), "the fox", add_special_tokens=False)
    assert [piece.id for piece in bare] == [piece.id for piece in pieces[1:-1]]


def test_a_tokenizer_written_in_python_shows_its_own_names(store, tokenizer_folder):
    pieces = preview_tokens(store, str(tokenizer_folder("slow")), "ab")

    assert [piece.text for piece in pieces] == ["a", "b", "</s>"]
    assert pieces[0].start is None


def test_a_text_that_cannot_be_encoded_is_one_sentence(store, tokenizer_folder):
    with pytest.raises(MistudioError, match="cannot encode this text") as refused:
        preview_tokens(store, str(tokenizer_folder("refusing")), "unknown")
    assert refused.value.code is ErrorCode.TOKENIZATION_FAILED


@pytest.mark.parametrize("kind", ["sample", "word_piece", "slow"])
def test_the_estimate_of_a_small_dataset_is_what_tokenizing_it_gives(kind, store, tokenizer_folder):
    texts = [f"The fox number {number} jumps over {number % 7} dogs." for number in range(300)]
    make_dataset(store.root, {"train": [*texts, None]}, row_group_size=500)

    (found,) = estimate(store, DATASET_ID, [str(tokenizer_folder(kind))], 32)
    result = tokenize(store, tokenizer_folder(kind), context_size=32)

    assert found.exact
    assert found.tokens == result.counts.tokens_encoded
    assert found.bytes_per_token == result.statistics.bytes_per_token
    assert found.rows == pytest.approx(result.counts.rows, rel=0.05)
    assert found.minutes > 0


@pytest.mark.parametrize("kind_of_texts", ["many_times_the_same", "all_different"])
def test_the_estimate_of_a_larger_dataset_comes_from_all_over_it(kind_of_texts, store, tokenizer_folder, monkeypatch):
    monkeypatch.setattr(estimate_module, "_SAMPLED_BYTES", 100_000)
    texts = [("short. " if number < 1500 else "A much longer text than before. ") * 10 for number in range(3_000)]
    if kind_of_texts == "all_different":
        texts = [f"{number} {text}" for number, text in enumerate(texts)]
    make_dataset(store.root, {"train": texts}, row_group_size=600)
    folders = [str(tokenizer_folder("sample")), str(tokenizer_folder("gpt2"))]

    ours, gpt2 = estimate(store, DATASET_ID, folders)
    result = tokenize(store, tokenizer_folder("sample"))

    assert not ours.exact
    assert ours.tokens == pytest.approx(result.counts.tokens_encoded, rel=0.1)
    assert ours.rows == pytest.approx(result.counts.rows, rel=0.1)
    assert ours.context_size == gpt2.context_size == 1024
    assert gpt2.vocabulary_size == 50257
