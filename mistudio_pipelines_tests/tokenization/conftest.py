"""What the tests of tokenization share: tokenizers of every kind, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines_tests.tokenization.tokenizer_folders import MAKERS, SAMPLE_TOKENIZER


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tokenizer, by kind; `sample` is the one that ships with the project."""
    root = tmp_path_factory.mktemp("tokenizers")

    def folder(kind: str) -> Path:
        if kind == "sample":
            return SAMPLE_TOKENIZER
        made = root / kind
        return made if made.exists() else MAKERS[kind](made)

    return folder


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "data")
