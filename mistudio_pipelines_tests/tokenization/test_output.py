"""The finished folder: loads in every library that installs here, and says what it is."""

from __future__ import annotations

import json

import numpy as np
import polars
import pytest
from datasets import load_dataset, load_from_disk

from mistudio_pipelines.errors import MistudioError, Stopped
from mistudio_pipelines.tokenization import assembly, output
from mistudio_pipelines.tokenization.exporting import export_flat, export_for_load_from_disk
from mistudio_pipelines.tokenization.proof import list_tokenizations, read_tokenization
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID, make_dataset
from mistudio_pipelines_tests.tokenization.tokenized_rows import rows_of, tokenize

TEXTS = [f"Document {number} says: " + "the fox and the dog, " * (number % 23) for number in range(200)]
MODES = {
    "packed": {"context_size": 64},
    "shuffled": {"context_size": 64, "shuffle_seed": 5},
    "padded": {"context_size": 64, "mode": "padded"},
    "ragged": {"context_size": 64, "mode": "padded", "padding": "do_not_pad"},
}


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(output, "FILE_TOKENS", 4_000)
    monkeypatch.setattr(assembly, "_ROW_GROUP_TOKENS", 1_000)


@pytest.fixture
def tokenized(store, tokenizer_folder):
    make_dataset(store.root, {"train": TEXTS, "validation": TEXTS[:40]})

    def make(mode: str):
        tokenize(store, tokenizer_folder("sample"), mode, **MODES[mode])
        return store.tokenized(DATASET_ID, mode)

    return make


@pytest.mark.parametrize("mode", MODES)
def test_datasets_loads_the_folder_whole_and_as_a_stream(mode, tokenized, store, tmp_path):
    folder = tokenized(mode)

    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))

    for split in ("train", "validation"):
        rows = rows_of(store, split, mode)
        assert loaded[split]["input_ids"][:] == rows
        assert [row["input_ids"] for row in load_dataset(str(folder), split=split, streaming=True)] == rows
    length = loaded["train"].features["input_ids"].length
    assert length == (-1 if mode == "ragged" else 64)


def test_the_dataset_info_says_what_datasets_finds(tokenized, tmp_path):
    folder = tokenized("padded")
    info = json.loads((folder / "dataset_info.json").read_text())

    from datasets import Features

    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert Features.from_dict(info["features"]) == loaded["train"].features
    assert {split: info["splits"][split]["num_examples"] for split in info["splits"]} == loaded.num_rows


@pytest.mark.parametrize("mode", MODES)
def test_the_export_for_load_from_disk_holds_the_same(mode, tokenized, store, tmp_path):
    tokenized(mode)

    export_for_load_from_disk(store, DATASET_ID, mode, tmp_path / "export")

    loaded = load_from_disk(str(tmp_path / "export"))
    for split in ("train", "validation"):
        assert loaded[split]["input_ids"][:] == rows_of(store, split, mode)
        assert str(loaded[split].split) == split


def test_save_to_disk_after_loading_is_the_one_line_way(tokenized, store, tmp_path):
    loaded = load_dataset(str(tokenized("packed")), cache_dir=str(tmp_path / "cache"))

    loaded.save_to_disk(str(tmp_path / "saved"))

    assert load_from_disk(str(tmp_path / "saved"))["train"]["input_ids"][:] == rows_of(store, "train", "packed")


@pytest.mark.parametrize("mode", MODES)
def test_the_flat_export_is_all_rows_one_after_the_other(mode, tokenized, store, tmp_path):
    tokenized(mode)

    export_flat(store, DATASET_ID, mode, tmp_path / "flat")

    description = json.loads((tmp_path / "flat" / "train.json").read_text())
    ids = np.fromfile(tmp_path / "flat" / description["file"], description["dtype"])
    rows = rows_of(store, "train", mode)
    assert ids.tolist() == [token for row in rows for token in row]
    assert (description["rows"], description["tokens"]) == (len(rows), len(ids))
    if mode == "ragged":
        bounds = np.fromfile(tmp_path / "flat" / description["bounds_file"], np.uint64).tolist()
        assert [ids[bounds[number] : bounds[number + 1]].tolist() for number in range(len(rows))] == rows


def test_an_export_that_is_stopped_leaves_nothing_and_one_into_an_existing_folder_is_refused(
    tokenized, store, tmp_path
):
    tokenized("packed")

    with pytest.raises(Stopped):
        export_flat(store, DATASET_ID, "packed", tmp_path / "flat", should_stop=lambda: True)
    assert not list(tmp_path.glob("*flat*"))
    with pytest.raises(MistudioError, match="exists already"):
        export_flat(store, DATASET_ID, "packed", tmp_path)


def test_polars_reads_the_files_too(tokenized, store):
    frame = polars.read_parquet(sorted((tokenized("packed") / "data").glob("train-*")))

    assert frame["input_ids"].to_list() == rows_of(store, "train", "packed")


def test_sae_lens_finds_the_fields_that_its_trainer_reads(tokenized):
    """The fields of its `PretokenizedDatasetMetadata`, and rows of one length in a column that it looks for."""
    metadata = json.loads((tokenized("shuffled") / "sae_lens.json").read_text())

    assert set(metadata) == {
        "sae_lens_version", "tokenizer_name", "original_dataset", "original_dataset_name", "original_split",
        "original_data_files", "original_column_name", "context_size", "shuffled", "seed", "begin_batch_token",
        "begin_sequence_token", "sequence_separator_token", "disable_concat_sequences", "use_chat_formatting",
    }  # fmt: skip
    assert (metadata["context_size"], metadata["shuffled"], metadata["seed"]) == (64, True, 5)
    assert (metadata["begin_batch_token"], metadata["sequence_separator_token"]) == ("bos", "bos")


def test_the_provenance_is_whole(tokenized, store):
    folder = tokenized("packed")

    found = read_tokenization(store, DATASET_ID, "packed")

    assert found.source.revision == "r1"
    assert set(found.source.files) == {"train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"}
    assert set(found.libraries) >= {"transformers", "tokenizers", "fastokens", "pyarrow", "mistudio-pipelines"}
    assert found.tokenizer.sha256 == found.preset.tokenizer_sha256
    assert found.tokenizer.vocabulary_size == 4096
    described = sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "tokenization.json"
    )
    assert found.bytes == described
    assert list_tokenizations(store, DATASET_ID) == ["packed"]
    assert not (folder / ".work").exists()
