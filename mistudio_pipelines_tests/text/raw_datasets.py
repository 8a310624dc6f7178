"""Small raw datasets for tests that need a whole data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest

DATASET_ID = "ds_local_texts_abc234"


def make_dataset(
    root: Path,
    splits: Mapping[str, Sequence[str | None]],
    *,
    columns: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    revision: str = "r1",
    row_group_size: int = 50,
    dataset_id: str = DATASET_ID,
    replaced_characters: int = 0,
) -> DataStore:
    """A data folder with one raw dataset.

    Args:
        root: The data folder.
        splits: The texts of each split.
        columns: For each split, other columns beside the text.
        revision: Data version.
        row_group_size: Samples per row group.
        dataset_id: Its id.
        replaced_characters: What the first file's manifest entry says was replaced.
    """
    store = DataStore(root)
    folder = store.raw(dataset_id)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split, texts in splits.items():
        path = folder / f"{split}-00000-of-00001.parquet"
        values = {"text": pa.array(texts, pa.string()), **(columns or {}).get(split, {})}
        pq.write_table(pa.table(values), path, row_group_size=row_group_size)
        content = path.read_bytes()
        files.append(
            RawFile(
                path=path.name,
                split=split,
                rows=len(texts),
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                replaced_characters=0 if files else replaced_characters,
            )
        )
    manifest = Manifest(
        dataset_id=dataset_id, source="local", revision=revision, text_column="text", files=tuple(files)
    )
    write_manifest(folder, manifest)
    return store
