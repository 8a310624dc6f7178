"""Doing the work in a test: a preset, a tokenization, and its rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.tokenization.presets import TokenizationPreset, save_preset
from mistudio_pipelines.tokenization.results import TokenizationResult
from mistudio_pipelines.tokenization.tokenize import tokenize_dataset
from mistudio_pipelines_tests.text.raw_datasets import DATASET_ID


def tokenize(store: DataStore, folder: Path, preset: str = "p", **settings) -> TokenizationResult:
    """Save a preset and tokenize the test dataset with it."""
    how = {key: settings.pop(key) for key in ("executor", "on_progress", "should_stop") if key in settings}
    save_preset(store, TokenizationPreset(name=preset, tokenizer=str(folder), **settings))
    return tokenize_dataset(store, DATASET_ID, preset, **how)


def rows_of(store: DataStore, split: str, preset: str = "p", column: str = "input_ids") -> list[list[int]]:
    """All rows of a split, in order."""
    folder = store.tokenized(DATASET_ID, preset) / "data"
    return [row for path in sorted(folder.glob(f"{split}-*")) for row in pq.read_table(path)[column].to_pylist()]


def files_of(store: DataStore, preset: str = "p") -> dict[str, bytes]:
    """Every file of rows and sources, to compare two tokenizations byte for byte."""
    folder = store.tokenized(DATASET_ID, preset)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".parquet", ".npy")
    }
