"""Killed at any moment, a conversion goes on, and the result is the same as without."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Manifest, read_manifest
from mistudio_pipelines.store.raw_folder import verify_raw

ID = "ds_x_abc234"
CONVERTER = """
import json, sys
from pathlib import Path
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import Origin
from mistudio_pipelines.text.conversion import SourceFile, build_raw_folder
root, sources = sys.argv[1:]
sources = [
    SourceFile(Path(path), split, data_format, Origin(path=Path(path).name, size=size, sha256=sha256))
    for path, split, data_format, size, sha256 in json.loads(sources)
]
print("started", flush=True)
build_raw_folder(
    DataStore(Path(root)), "ds_x_abc234", sources, source="huggingface", repository="a/b", revision="r", config=None,
    text_column="text",
)
"""


def make_sources(folder: Path) -> list[list]:
    """Files of three kinds: kept, rewritten with other columns, converted."""
    folder.mkdir(parents=True)
    made = []
    for number in range(4):
        texts = [f"{number} {row} " + "word " * 40 for row in range(10_000)]
        paths = [folder / f"{number}.{extension}" for extension in ("kept.parquet", "large.parquet", "jsonl")]
        pq.write_table(pa.table({"text": texts[:50]}), paths[0], row_group_size=10)
        pq.write_table(pa.table({"text": texts, "n": range(len(texts))}), paths[1])
        paths[2].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for path, data_format in zip(paths, ("parquet", "parquet", "json"), strict=True):
            content = path.read_bytes()
            split = "test" if number % 2 else "train"
            made.append([str(path), split, data_format, len(content), hashlib.sha256(content).hexdigest()])
    return made


def convert(root: Path, sources: list[list], kill_after: float | None = None) -> bool:
    """Run the conversion in a process of its own; kill it after some seconds; whether it finished."""
    command = [sys.executable, "-c", CONVERTER, str(root), json.dumps(sources)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if kill_after is not None:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        return process.wait() == 0


def described(manifest: Manifest) -> list[tuple]:
    return [(file.path, file.rows, file.sha256) for file in manifest.files]


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.chaos)])
def test_kills_at_random_moments_change_nothing(tmp_path, kills, faults):
    expected_store = DataStore(tmp_path / "expected")
    assert convert(expected_store.root, make_sources(expected_store.raw_partial(ID) / "download"))
    expected = read_manifest(expected_store.raw(ID))
    store = DataStore(tmp_path / "killed")
    sources = make_sources(store.raw_partial(ID) / "download")
    chance = random.Random(kills)
    for _ in range(kills):
        if convert(store.root, sources, kill_after=chance.random() * (1.5 if kills < 10 else 0.4)):
            break
        faults.cause("kill -9 of a conversion")
        assert not store.raw(ID).exists() or verify_raw(store.raw(ID), read_manifest(store.raw(ID))) == []
    if not store.raw(ID).exists():
        assert convert(store.root, sources)
    manifest = read_manifest(store.raw(ID))
    assert described(manifest) == described(expected)
    assert verify_raw(store.raw(ID), manifest) == []
    assert sorted(path.name for path in store.raw(ID).iterdir()) == sorted(
        path.name for path in expected_store.raw(ID).iterdir()
    )
    faults.survived()
