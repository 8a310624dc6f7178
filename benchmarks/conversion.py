"""Converting files of each format into Parquet with small row groups: ours beside `datasets`.

`datasets` needs two steps for it (`load_dataset`, then `to_parquet`, whose compression cannot be chosen) and holds
everything on disk twice meanwhile. Ours compresses with zstd and hashes what it writes.

Run: `python benchmarks/conversion.py [--sizes 200,1000,2000] [--formats jsonl,json,csv,txt,jsonl.gz,parquet]`.
Sizes are megabytes of the uncompressed file. Each measurement is a process of its own; memory is its highest resident
size less that of the process after its imports.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(os.environ.get("MISTUDIO_BENCHMARK_DATA", "../shared/data")) / "corpus"
FORMATS = ("jsonl", "json", "csv", "txt", "jsonl.gz", "parquet")
MODULES = {"jsonl": "json", "json": "json", "csv": "csv", "txt": "text", "jsonl.gz": "json", "parquet": "parquet"}


def rows(megabytes: int) -> Iterator[dict[str, Any]]:
    """Documents of the corpus, again and again, until their texts reach a size."""
    left = megabytes * 1_000_000
    for path in itertools.cycle(sorted(DATA.glob("*.parquet"))):
        for row in pq.read_table(path).to_pylist():
            left -= len(row["text"].encode())
            if left < 0:
                return
            yield row


def write(path: Path, kind: str, megabytes: int) -> None:
    """Write a file of one format."""
    if kind == "parquet":
        with pq.ParquetWriter(path, pq.read_schema(next(DATA.glob("*.parquet"))), compression="zstd") as writer:
            source = rows(megabytes)
            while batch := list(itertools.islice(source, 50_000)):  # row groups of 50 MB, as many datasets have them
                writer.write_table(pa.Table.from_pylist(batch, writer.schema), row_group_size=50_000)
        return
    with gzip.open(path, "wt", compresslevel=1) if kind.endswith("gz") else path.open("w", newline="") as file:
        if kind == "csv":
            table = csv.DictWriter(file, ["source", "id", "text"])
            table.writeheader()
            table.writerows(rows(megabytes))
        elif kind == "txt":
            file.writelines(row["text"].replace("\n", " ") + "\n" for row in rows(megabytes))
        elif kind == "json":
            lines = (json.dumps(row, ensure_ascii=False) for row in rows(megabytes))
            file.write("[" + next(lines))
            file.writelines(",\n" + line for line in lines)
            file.write("]")
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(megabytes))


def ours(path: Path, module: str, target: Path) -> int:
    """Convert with this project; return bytes on disk."""
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.store.manifest import Origin
    from mistudio_pipelines.text.conversion import SourceFile, build_raw_folder

    source = SourceFile(path, "train", module, Origin(path=path.name, size=path.stat().st_size))
    manifest = build_raw_folder(
        DataStore(target),
        "ds_local_benchmark_aaaaaa",
        [source],
        source="local",
        repository=None,
        revision="1",
        config=None,
        text_column="text",
    )
    return manifest.size


def theirs(path: Path, module: str, target: Path) -> int:
    """Convert with `datasets`; return the most bytes on disk."""
    import datasets

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(module, data_files=str(path), cache_dir=str(target), split="train")
    loaded.to_parquet(target / "train.parquet", batch_size=500)
    return sum(file.stat().st_size for file in target.rglob("*") if file.is_file())


def highest_resident_megabytes() -> float:
    """Of this process; `getrusage` would include what its parent had when it started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_here(who: str, path: Path, module: str) -> None:
    """Convert in this process and print seconds, peak memory and bytes as JSON."""
    import datasets  # noqa: F401  (imported before the clock starts, for both)

    import mistudio_pipelines.text.conversion  # noqa: F401

    before = highest_resident_megabytes()
    with tempfile.TemporaryDirectory(dir=path.parent) as target:
        start = time.perf_counter()
        size = (ours if who == "ours" else theirs)(path, module, Path(target))
        seconds = time.perf_counter() - start
    peak = highest_resident_megabytes() - before
    print(json.dumps({"seconds": seconds, "megabytes": peak, "bytes": size}))


def measure(who: str, path: Path, module: str) -> dict[str, float] | None:
    """Convert in a process of its own; None where that fails."""
    command = [sys.executable, __file__, "--measure", who, str(path), module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Write the files, measure both, print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="200,1000")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        who, path, module = arguments.measure
        measure_here(who, Path(path), module)
        return
    print(f"{'':16} | {'ours':>10}{'peak':>9}{'disk':>9} | {'datasets':>10}{'peak':>9}{'disk':>9} | speed")
    print(f"{'format':10}{'MB':>6} | {'MB/s':>10}{'MB':>9}{'MB':>9} | {'MB/s':>10}{'MB':>9}{'MB':>9} | ratio")
    for kind in arguments.formats.split(","):
        for megabytes in map(int, arguments.sizes.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"corpus.{kind}"
                write(path, kind, megabytes)
                results = [measure(who, path, MODULES[kind]) for who in ("ours", "theirs")]
            shown = [
                f"{megabytes / each['seconds']:10.0f}{each['megabytes']:9.0f}{each['bytes'] / 1e6:9.0f}"
                if each
                else f"{'failed':>28}"
                for each in results
            ]
            ratio = results[1]["seconds"] / results[0]["seconds"] if all(results) else float("nan")
            print(f"{kind:10}{megabytes:6} | {shown[0]} | {shown[1]} | {ratio:.2f}x", flush=True)


if __name__ == "__main__":
    main()
