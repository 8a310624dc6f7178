"""Engines: used only where their ids are those of `AutoTokenizer`, and watched while they run."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoTokenizer

from mistudio_pipelines.progress import ignore_progress, never_stop
from mistudio_pipelines.store.atomic import write_bytes
from mistudio_pipelines.tokenization import document_encoder, engine_choice, engines, planning
from mistudio_pipelines.tokenization.document_encoder import merge_encoded
from mistudio_pipelines.tokenization.engine_choice import choose_engine
from mistudio_pipelines.tokenization.engine_proof import EngineProof, read_proof, write_proof
from mistudio_pipelines.tokenization.engines import Encoded, FastokensEngine, TransformersEngine, engine_version
from mistudio_pipelines.tokenization.hard_sample import all_code_points, hard_texts
from mistudio_pipelines.tokenization.loading import load_tokenizer, tokenizer_identity
from mistudio_pipelines.tokenization.planning import keep_backend
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines.tokenization.tokenize import tokenize_dataset
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.plain_reference import pack_plainly
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

LARGE = 10**9


def choose(store, folder, *, text_bytes=LARGE, first_texts=(), add_special_tokens=True):
    tokenizer = load_tokenizer(store, str(folder))
    return choose_engine(
        store,
        tokenizer,
        keep_backend(store, tokenizer),
        tokenizer_identity(tokenizer, "x", None).sha256,
        add_special_tokens=add_special_tokens,
        text_bytes=text_bytes,
        first_texts=first_texts,
        on_progress=ignore_progress,
        should_stop=never_stop,
    )


@pytest.fixture
def few_code_points(monkeypatch):
    """A proof over a part of Unicode, so that it takes a moment; one test makes the whole."""
    points = [*range(0x600), *range(0x1F600, 0x1F700)]
    monkeypatch.setattr("mistudio_pipelines.tokenization.engine_proof.all_code_points", lambda: points)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["sample", "gpt2", "deepseek", "sentence_piece_bpe"])
def test_the_engines_agree_on_the_whole_of_unicode(kind, store, tokenizer_folder):
    told = []
    tokenizer = load_tokenizer(store, str(tokenizer_folder(kind)))
    backend = keep_backend(store, tokenizer)

    equal, reason, differing = engine_choice.compare_fastokens(
        backend, hard_texts(tokenizer.all_special_tokens), told.append, never_stop
    )

    assert (equal, differing) == (True, ""), reason
    assert told[-1].done == told[-1].total == 0x110000 - 0x800
    assert len(set(all_code_points())) == 0x110000 - 0x800


def test_a_proof_is_made_once_for_a_tokenizer_and_its_versions(store, tokenizer_folder, few_code_points, monkeypatch):
    first = choose(store, tokenizer_folder("sample"))
    monkeypatch.setattr(engine_choice, "compare_fastokens", lambda *_: pytest.fail("it was proved again"))

    again = choose(store, tokenizer_folder("sample"))

    assert first == again
    assert first.engine == "fastokens"
    assert "proved equal" in first.reason


@pytest.mark.parametrize("kind", ["gpt2", "deepseek", "sentence_piece_bpe"])
def test_bpe_goes_to_the_fast_engine(kind, store, tokenizer_folder, few_code_points):
    assert choose(store, tokenizer_folder(kind), first_texts=["Hello world"]).engine == "fastokens"


@pytest.mark.parametrize("kind", ["word_piece", "refusing"])
def test_kinds_that_the_fast_engine_does_not_know_go_to_hugging_faces(kind, store, tokenizer_folder, few_code_points):
    choice = choose(store, tokenizer_folder(kind))

    assert choice.engine == "tokenizers"
    assert "fastokens" in choice.reason


def test_a_tokenizer_written_in_python_goes_to_transformers(store, tokenizer_folder):
    choice = choose(store, tokenizer_folder("slow"))

    assert choice.engine == "transformers"
    assert "written in Python" in choice.reason


def test_unigram_goes_to_the_engine_inside_the_loaded_tokenizer_because_writing_it_changes_its_scores(
    store, tokenizer_folder
):
    choice = choose(store, tokenizer_folder("unigram"))

    assert (choice.engine, choice.call_backend) == ("transformers", True)
    assert "in the last bit" in choice.reason


def test_little_text_is_not_worth_a_proof(store, tokenizer_folder):
    choice = choose(store, tokenizer_folder("sample"), text_bytes=1000)

    assert choice.engine == "tokenizers"
    assert "too little text" in choice.reason


def test_a_class_that_changes_what_its_backend_gives_goes_to_transformers(store, tokenizer_folder, monkeypatch):
    def reversed_ids(self, texts):
        encoded = original(self, texts)
        return Encoded(encoded.ids[::-1], encoded.bounds)

    original = TransformersEngine.encode
    monkeypatch.setattr(TransformersEngine, "encode", reversed_ids)

    choice = choose(store, tokenizer_folder("sample"))

    assert (choice.engine, choice.call_backend) == ("transformers", False)
    assert "class changes what it gives" in choice.reason


def lying_about(monkeypatch, character: str) -> None:
    """Make the fast engine give a wrong id for one character."""

    def encode(self, texts):
        return original(self, [text.replace(character, "?") for text in texts])

    original = FastokensEngine.encode
    monkeypatch.setattr(FastokensEngine, "encode", encode)


def test_documents_with_characters_on_which_the_engines_differ_go_to_hugging_faces(
    store, tokenizer_folder, few_code_points, monkeypatch
):
    lying_about(monkeypatch, "ü")
    monkeypatch.setattr(engine_choice, "WORTH_PROVING_BYTES", 0)
    texts = ["one two three", "Zürich", "four five", None, "für alle", "six"] * 9
    make_dataset(store.root, {"train": texts})

    result = tokenize(store, tokenizer_folder("sample"), context_size=8)

    assert result.engine.engine == "fastokens"
    assert result.engine.differing_characters == 1
    assert result.engine.documents == {"fastokens": 27, "tokenizers": 18}
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder("sample")))
    documents = [tokenizer.encode(text) for text in texts if text is not None]
    assert rows_of(store, "train") == pack_plainly(documents, 8, 0, None, 0)[0]


def test_an_engine_that_differs_on_the_first_texts_is_not_used(store, tokenizer_folder, few_code_points, monkeypatch):
    lying_about(monkeypatch, "zebra")

    choice = choose(store, tokenizer_folder("sample"), first_texts=["a zebra"])

    assert choice.engine == "tokenizers"
    assert "first texts" in choice.reason


def test_a_difference_found_while_running_makes_the_shard_again_and_withdraws_the_proof(
    store, tokenizer_folder, few_code_points, monkeypatch
):
    monkeypatch.setattr(engine_choice, "WORTH_PROVING_BYTES", 0)
    monkeypatch.setattr(planning, "SHARD_BYTES", 2_000)
    texts = [f"document {number} of many" for number in range(300)]
    texts[250:] = ["zebra zebra zebra"] * 50
    make_dataset(store.root, {"train": texts})
    lying_about(monkeypatch, "zebra")

    result = tokenize(store, tokenizer_folder("sample"), context_size=16)

    assert result.engine.engine == "fastokens"
    assert result.engine.differences
    assert all(sample >= 250 for sample in result.engine.differences)
    assert set(result.engine.documents) == {"fastokens", "tokenizers"}
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder("sample")))
    assert rows_of(store, "train") == pack_plainly(map(tokenizer.encode, texts), 16, 0, None, 0)[0]
    assert check_tokenization(store, DATASET_ID, "p") == []
    proof = read_proof(store, result.tokenizer.sha256, "fastokens", "tokenizers")
    assert not proof.equal
    assert DATASET_ID in proof.reason


def test_a_damaged_proof_is_made_again(store, tokenizer_folder, few_code_points):
    folder = tokenizer_folder("sample")
    choose(store, folder)
    for path in (store.cache_root / "engine_proofs").iterdir():
        write_bytes(path, b"{")

    assert choose(store, folder).engine == "fastokens"


def test_a_proof_for_another_version_does_not_count(store):
    write_proof(
        store,
        EngineProof(
            engine="fastokens",
            version="0.0.1",
            tokenizer_sha256="a" * 64,
            reference=f"tokenizers-{engine_version('tokenizers')}",
            equal=True,
            reason="",
        ),
    )

    assert read_proof(store, "a" * 64, "fastokens", "tokenizers") is None


def test_truncation_and_padding_of_the_file_are_no_part_of_the_backend(store, tokenizer_folder):
    """The tokenizers of sentence-transformers carry both; a call of the tokenizer resets them."""
    tokenizer = load_tokenizer(store, str(tokenizer_folder("word_piece")))
    long = "the fox and the dog " * 20

    engine = engines.open_engine("tokenizers", keep_backend(store, tokenizer), True)

    assert engine.encode([long]).ids.tolist() == tokenizer(long)["input_ids"]


def test_parts_encoded_apart_come_back_in_the_order_of_their_samples():
    first = (np.array([2, 9]), Encoded(np.array([20, 21, 90], np.uint32), np.array([0, 2, 3])))
    second = (np.array([1, 5, 7]), Encoded(np.array([10, 50, 51], np.uint32), np.array([0, 1, 3, 3])))

    samples, merged = merge_encoded([first, second])

    assert samples.tolist() == [1, 2, 5, 7, 9]
    assert [merged.of(number).tolist() for number in range(5)] == [[10], [20, 21], [50, 51], [], [90]]


def test_a_text_that_breaks_the_fast_engine_is_encoded_by_hugging_faces(
    store, tokenizer_folder, few_code_points, monkeypatch
):
    monkeypatch.setattr(engine_choice, "WORTH_PROVING_BYTES", 0)
    make_dataset(store.root, {"train": ["one two", "a trap here", "three"] * 5})

    def encode(self, texts):
        if any("trap" in text for text in texts):
            raise RuntimeError("regex limit")
        return original(self, texts)

    original = FastokensEngine.encode
    choose(store, tokenizer_folder("sample"))
    monkeypatch.setattr(FastokensEngine, "encode", encode)
    monkeypatch.setattr(document_encoder.DocumentEncoder, "_check", lambda *_: None)
    monkeypatch.setattr(engine_choice, "_FIRST_TEXTS", 1)

    result = tokenize(store, tokenizer_folder("sample"), context_size=4)

    assert result.counts.skipped == 0
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder("sample")))
    documents = [tokenizer.encode(text) for text in ["one two", "a trap here", "three"] * 5]
    assert rows_of(store, "train") == pack_plainly(documents, 4, 0, None, 0)[0]
    assert tokenize_dataset(store, DATASET_ID, "p").unchanged
