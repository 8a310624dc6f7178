"""Presets: validated before any work, pinned, and never changed."""

from __future__ import annotations

import json
import shutil

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.tokenization import loading
from mistudio_pipelines.tokenization.presets import TokenizationPreset, list_presets, load_preset, save_preset
from mistudio_pipelines_tests.text.raw_datasets import make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import tokenize


def preset(folder, name="p", **settings) -> TokenizationPreset:
    return TokenizationPreset(name=name, tokenizer=str(folder), **settings)


def refusal(store, folder, **settings) -> str:
    with pytest.raises(MistudioError) as refused:
        save_preset(store, preset(folder, **settings))
    assert refused.value.code is ErrorCode.INVALID_PRESET
    assert not store.preset("p").exists()
    return str(refused.value)


def test_a_saved_preset_is_filled_in_and_pinned(store, tokenizer_folder):
    saved = save_preset(store, preset(tokenizer_folder("gpt2")))

    assert saved.context_size == 1024
    assert (saved.begin_of_batch, saved.begin_of_sequence, saved.separator) == ("bos", None, "bos")
    assert len(saved.tokenizer_sha256) == 64
    assert load_preset(store, "p") == saved
    assert list_presets(store) == [saved]


def test_saving_the_same_again_does_nothing_and_needs_no_tokenizer(store, tokenizer_folder, monkeypatch):
    saved = save_preset(store, preset(tokenizer_folder("gpt2")))
    monkeypatch.setattr(loading, "load_tokenizer", lambda *_: pytest.fail("it was loaded again"))

    assert save_preset(store, preset(tokenizer_folder("gpt2"))) == saved
    assert save_preset(store, saved) == saved


def test_another_content_under_the_same_name_is_refused_with_what_differs(store, tokenizer_folder):
    save_preset(store, preset(tokenizer_folder("gpt2")))

    with pytest.raises(MistudioError, match="another context_size and shuffle_seed") as refused:
        save_preset(store, preset(tokenizer_folder("gpt2"), context_size=64, shuffle_seed=1))
    assert refused.value.code is ErrorCode.PRESET_EXISTS


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("gpt2", {"context_size": 4096}, "more than the model's 1024"),
        ("unigram", {}, "needs a context size"),
        ("gpt2", {"mode": "padded"}, "no pad token"),
        ("gpt2", {"separator": "sep"}, "no sep token for separator. It has: bos"),
        ("word_piece", {"begin_of_batch": "bos"}, "no bos token for begin_of_batch"),
        ("gpt2", {"begin_of_batch": 50257}, "outside the vocabulary"),
        ("gpt2", {"begin_of_sequence": -1}, "outside the vocabulary"),
        ("gpt2", {"mode": "per_document", "truncation": "none"}, "truncation none in mode per_document"),
        ("word_piece", {"mode": "padded", "truncation": "none"}, "lets rows be longer"),
        ("word_piece", {"mode": "padded", "stride": 4}, "does not split documents"),
        ("word_piece", {"mode": "padded", "context_size": 6, "truncation": "split", "stride": 4}, "special tokens"),
        ("word_piece", {"mode": "padded", "context_size": 2}, "special tokens and stride take 2"),
        ("gpt2", {"context_size": 1}, "special tokens and stride take 1"),
        ("gpt2", {"column_name": "attention_mask"}, "names its column attention_mask"),
        ("deepseek", {"dtype": "uint16"}, "too small for 129280 ids"),
        ("gpt2", {"splits": ()}, "names no split"),
    ],
)
def test_what_does_not_fit_the_tokenizer_is_refused_in_one_sentence(kind, settings, sentence, store, tokenizer_folder):
    assert sentence in refusal(store, tokenizer_folder(kind), **settings)


def test_a_pad_token_outside_the_models_vocabulary_is_refused(store, tokenizer_folder, tmp_path):
    folder = tmp_path / "padded"
    shutil.copytree(tokenizer_folder("gpt2"), folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "[PAD]"}))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": 50257}))

    assert "would pad with id 50257, outside the model's vocabulary" in refusal(store, folder, mode="padded")


@pytest.mark.parametrize("name", ["", "a b", "../up", "ä", "x" * 200])
def test_names_that_are_no_file_names_are_refused(name, store, tokenizer_folder):
    with pytest.raises(MistudioError, match="not a name for a tokenization"):
        save_preset(store, preset(tokenizer_folder("gpt2"), name=name))


def test_an_unknown_preset_is_refused_with_those_there_are(store, tokenizer_folder):
    save_preset(store, preset(tokenizer_folder("sample"), name="small"))

    with pytest.raises(MistudioError, match="Saved presets: small"):
        load_preset(store, "nope")


def test_a_damaged_preset_is_reported_and_does_not_hide_the_others(store, tokenizer_folder):
    save_preset(store, preset(tokenizer_folder("sample"), name="fine"))
    store.preset("broken").write_text("{")

    assert [saved.name for saved in list_presets(store)] == ["fine"]
    with pytest.raises(MistudioError, match=r"broken\.json cannot be read"):
        load_preset(store, "broken")


def test_a_folder_that_is_not_there_or_holds_no_tokenizer_is_refused(store, tmp_path):
    (tmp_path / "empty").mkdir()

    for folder, sentence in ((tmp_path / "none", "no tokenizer folder"), (tmp_path / "empty", "does not hold")):
        with pytest.raises(MistudioError, match=sentence) as refused:
            save_preset(store, preset(folder))
        assert refused.value.code is ErrorCode.TOKENIZER_NOT_FOUND


def test_a_tokenizer_that_changed_since_it_was_pinned_is_refused(store, tokenizer_folder, tmp_path):
    folder = tmp_path / "changing"
    shutil.copytree(tokenizer_folder("sample"), folder)
    make_dataset(store.root, {"train": ["one"]})
    save_preset(store, preset(folder))
    content = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(content.replace("<|pad|>", "<|fill|>"))
    (folder / "tokenizer_config.json").write_text(
        (folder / "tokenizer_config.json").read_text().replace("<|pad|>", "<|fill|>")
    )

    with pytest.raises(MistudioError, match="is not the one that preset p was saved with"):
        tokenize(store, folder)


def test_every_field_says_what_it_is_for():
    for name, field in TokenizationPreset.model_fields.items():
        assert name == "format_version" or (field.description and len(field.description) > 20), name
