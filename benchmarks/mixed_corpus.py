"""A raw dataset of any size out of the benchmark corpus, for the benchmarks of ingestion and search.

The files are as conversion writes them. Texts are halves of two documents joined at random, so that the vocabulary of
neighbouring words goes on growing and nothing is an exact copy. The last eighth is split `test`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest
from mistudio_pipelines.text.parquet_writer import ParquetPart

DATA = Path(os.environ.get("MISTUDIO_BENCHMARK_DATA", "../shared/data")) / "corpus"


def make_mixed_corpus(store: DataStore, dataset_id: str, megabytes: int) -> int:
    """Write the raw folder of a dataset, where it is not there yet, and return its bytes of text."""
    folder = store.raw(dataset_id)
    size_note = folder / "text_bytes"
    if size_note.exists():
        return int(size_note.read_text())
    folder.mkdir(parents=True)
    source = pa.concat_tables([pq.read_table(path) for path in sorted(DATA.glob("*.parquet"))])
    texts, sources = source["text"].to_pylist(), source["source"].to_pylist()
    generator = random.Random(1)
    files: list[RawFile] = []
    written = samples = 0
    while written < megabytes * 1_000_000:
        chosen: list[str] = []
        wanted = min(130_000_000, megabytes * 1_000_000 - written)
        while wanted > 0:
            left, right = generator.choice(texts), generator.choice(texts)
            text = left[: len(left) // 2] + " " + right[len(right) // 2 :]
            chosen.append(text)
            size = len(text.encode())
            wanted -= size
            written += size
        split = "test" if len(files) % 8 == 7 else "train"
        path = folder / f"{split}-{len(files):05d}.parquet"
        table = pa.table(
            {
                "source": pa.array(generator.choices(sources, k=len(chosen))),
                "row": pa.array(range(samples, samples + len(chosen))),
                "text": pa.array(chosen),
            }
        )
        part = ParquetPart(path)
        part.write(table)
        size, sha256 = part.close()
        files.append(RawFile(path=path.name, split=split, rows=len(chosen), size=size, sha256=sha256))
        samples += len(chosen)
    manifest = Manifest(
        dataset_id=dataset_id, source="local", revision="benchmark", text_column="text", files=tuple(files)
    )
    write_manifest(folder, manifest)
    size_note.write_text(str(written))
    return written
