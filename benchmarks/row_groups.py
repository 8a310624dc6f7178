"""The layout of raw files: what reading scattered samples costs, and the disk, by row groups and what they hold.

    ours           as `text/parquet_writer.py` writes them: no dictionary and no bounds of long texts
    dictionaries   pyarrow's defaults: a dictionary of each column, the least and greatest value in the footer

The same texts in each layout; one core. `text/parquet_writer.py` quotes it.

    python benchmarks/row_groups.py [--megabytes 100]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))

from mixed_corpus import make_mixed_corpus

from mistudio_pipelines.store.layout import DataStore

DATASET = "ds_local_mixed_abc234"
GROUP_KIBIBYTES = (512, 256, 128)
LOOKS = 300
DESCRIBED = ["source", "row"]
LAYOUTS: dict[str, dict[str, Any]] = {
    "ours": {"use_dictionary": DESCRIBED, "write_statistics": DESCRIBED},
    "dictionaries": {},
}


def measure(table: pa.Table, path: Path, rows: int, options: dict[str, Any]) -> str:
    """Write one layout and read from it."""
    pq.write_table(table, path, compression="zstd", compression_level=3, row_group_size=rows, **options)
    generator = random.Random(0)
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        groups = file.metadata.num_row_groups
        started = time.process_time()
        for _ in range(LOOKS):
            file.read_row_group(generator.randrange(groups), use_threads=False)
        scattered = (time.process_time() - started) / LOOKS * 1000
        started = time.process_time()
        for _ in file.iter_batches(batch_size=1024, columns=["text"], use_threads=False):
            pass
        whole = (time.process_time() - started) / table["text"].nbytes * 1e9
        footer = file.metadata.serialized_size
    size = path.stat().st_size
    return (
        f"one sample {scattered:5.2f} CPU ms   all texts {whole:5.2f} CPU ms/MB   "
        f"file {size / 1e6:6.1f} MB   footer {footer / 1e3:6.0f} kB"
    )


def main() -> None:
    """Write and read every layout, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="row-groups") as folder:
        store = DataStore(Path(folder))
        make_mixed_corpus(store, DATASET, arguments.megabytes)
        table = pq.read_table(sorted(store.raw(DATASET).glob("*.parquet")))
        average = table["text"].nbytes / table.num_rows
        print(f"{table.num_rows:,} texts, {table['text'].nbytes / 1e6:.0f} MB")
        for kibibytes in GROUP_KIBIBYTES:
            rows = max(1, int(kibibytes * 1024 / average))
            for name, options in LAYOUTS.items():
                print(
                    f"  {kibibytes:4} KiB  {name:13} {measure(table, Path(folder) / 'layout.parquet', rows, options)}"
                )


if __name__ == "__main__":
    main()
