"""The pass over the text: statistics and index together, beside what would make each of them otherwise.

    ours                 statistics, token counts, index, other columns: `text/ingestion.py`, Parquet reading included
    ours small pages     the same without large pages of memory (`processes.ask_for_large_pages`)
    python split loop    the design of the requirements document: `datasets`, `str.split()`, a Counter, numpy; no index
    polars               token counts and vocabulary with polars expressions; no index, no other statistics
    sqlite fts5          an index only (unicode61, external content)
    postgresql gin       an index only (to_tsvector, GIN); skipped where no server is in PATH

Each way is a process of its own on the same Parquet files; memory is its highest resident size.

    python benchmarks/ingestion.py [--megabytes 1000] [--only ours,polars] [--folder /tmp/somewhere]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))

from mixed_corpus import make_mixed_corpus

from mistudio_pipelines.processes import ask_for_large_pages
from mistudio_pipelines.store.layout import DataStore

DATASET = "ds_local_mixed_abc234"
SMALL_PAGES = "ours small pages"
WAYS = ("ours", SMALL_PAGES, "python split loop", "polars", "sqlite fts5", "postgresql gin")


def raw_files(store: DataStore) -> list[str]:
    """The Parquet files, in order."""
    return [str(path) for path in sorted(store.raw(DATASET).glob("*.parquet"))]


def ours(store: DataStore) -> str:
    """Everything."""
    from mistudio_pipelines.text.ingestion import ingest

    shutil.rmtree(store.index(DATASET), ignore_errors=True)
    made = ingest(store, DATASET)
    total = made.statistics.total
    share = made.index.bytes / total.bytes
    return f"{total.tokens:,} tokens, {total.vocabulary:,} words, index {share:.2f} of the text"


def python_split_loop(store: DataStore) -> str:
    """The obvious way."""
    import datasets

    cache = store.root / "cache"
    rows = datasets.load_dataset("parquet", data_files=raw_files(store), split="train", cache_dir=str(cache))
    counts: list[int] = []
    words: Counter[str] = Counter()
    for row in rows:
        split = row["text"].split()
        counts.append(len(split))
        words.update(split)
    np.percentile(counts, [5, 50, 95, 99])
    np.histogram(counts, bins=20)
    shutil.rmtree(cache)
    return f"{sum(counts):,} tokens, {len(words):,} words"


def polars(store: DataStore) -> str:
    """Words as rows of a lazy table."""
    import polars as pl

    words: Counter[str] = Counter()
    tokens = 0
    for path in raw_files(store):
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(8192, columns=["text"]):
            split = pl.from_arrow(batch)["text"].str.extract_all(r"\S+")
            tokens += int(split.list.len().sum())
            counted = split.explode().value_counts()
            words.update(dict(zip(counted["text"].to_list(), counted["count"].to_list(), strict=True)))
    return f"{tokens:,} tokens, {len(words):,} words"


def texts(store: DataStore) -> Iterator[tuple[int, str]]:
    """Numbered texts."""
    number = 0
    for path in raw_files(store):
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(8192, columns=["text"]):
            for text in batch.column(0).to_pylist():
                yield number, text
                number += 1


def sqlite_fts5(store: DataStore) -> str:
    """An index of the texts without the texts."""
    path = store.root / "fts5.sqlite"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -400000")
    database.execute("CREATE VIRTUAL TABLE samples USING fts5(text, content='', tokenize='unicode61')")
    database.execute("BEGIN")
    database.executemany("INSERT INTO samples(rowid, text) VALUES (?, ?)", texts(store))
    database.execute("COMMIT")
    database.close()
    return f"index {path.stat().st_size / 1e6:.0f} MB"


@contextmanager
def postgresql(folder: Path) -> Iterator[list[str]]:
    """A server of our own on a socket; yields the start of a psql command."""
    home = Path(tempfile.mkdtemp(prefix="pg"))
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(home, "nobody", "nogroup")
    data = home / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True, "cwd": home}
    initdb = shutil.which("initdb") or next(iter(Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    subprocess.run([*user, initdb, "-D", data, "-U", "bench", "--no-sync", "-E", "UTF8", "--locale=C"], **quiet)
    options = f"-k {home} -c listen_addresses= -c fsync=off -c maintenance_work_mem=512MB -c shared_buffers=512MB"
    control = Path(initdb).parent / "pg_ctl"
    subprocess.run([*user, control, "-D", data, "-o", options, "-w", "start"], **quiet)
    try:
        yield ["psql", "-h", str(home), "-U", "bench", "-d", "postgres", "-qAt"]
    finally:
        subprocess.run([*user, control, "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(home, ignore_errors=True)


def copy_texts(psql: list[str], store: DataStore) -> None:
    """Texts into table `samples`."""
    create = "CREATE UNLOGGED TABLE samples (number int PRIMARY KEY, tokens int, text text)"
    subprocess.run([*psql, "-c", create], check=True)
    load = subprocess.Popen([*psql, "-c", "COPY samples FROM STDIN"], stdin=subprocess.PIPE, text=True)
    assert load.stdin is not None
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": " "})
    for number, text in texts(store):
        load.stdin.write(f"{number}\t{len(text.split())}\t{text.translate(escapes)}\n")
    load.stdin.close()
    assert load.wait() == 0


def make_gin(psql: list[str]) -> None:
    """The index of the requirements document."""
    # Positions of long texts are cut off by PostgreSQL itself; texts over 1 MB of distinct words would be refused.
    column = "ALTER TABLE samples ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED"
    subprocess.run([*psql, "-c", column, "-c", "CREATE INDEX ON samples USING gin(words)"], check=True)


def postgresql_gin(store: DataStore) -> str:
    """Loading the texts is not counted: only making the index is."""
    with postgresql(store.root) as psql:
        copy_texts(psql, store)
        started = time.perf_counter()
        make_gin(psql)
        seconds = time.perf_counter() - started
        size = subprocess.run(
            [*psql, "-c", "SELECT pg_total_relation_size('samples')"], check=True, capture_output=True, text=True
        ).stdout
        return f"index alone {seconds:.1f} s; table and index {int(size) / 1e6:.0f} MB; memory is the client's"


def peak_memory() -> float:
    """Highest resident megabytes of this process (`ru_maxrss` would start at the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def run(way: str, folder: Path) -> None:
    """One way, in this process."""
    store = DataStore(folder)
    started, cpu = time.perf_counter(), time.process_time()
    told = {
        "ours": ours,
        SMALL_PAGES: ours,
        "python split loop": python_split_loop,
        "polars": polars,
        "sqlite fts5": sqlite_fts5,
        "postgresql gin": postgresql_gin,
    }[way](store)
    memory = peak_memory()
    print(time.perf_counter() - started, time.process_time() - cpu, memory, told, sep="\t")


def main() -> None:
    """Run each way in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--folder", type=Path, help="kept; otherwise a temporary folder")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run(arguments.way, arguments.folder)
        return
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="ingestion"))
    try:
        size = make_mixed_corpus(DataStore(folder), DATASET, arguments.megabytes)
        print(f"{size / 1e6:.0f} MB of text, {os.cpu_count()} processors")
        fastest = None
        for way in arguments.only.split(","):
            if way == "postgresql gin" and not (shutil.which("postgres") or Path("/usr/lib/postgresql").is_dir()):
                print(f"{way:18} skipped: there is no PostgreSQL server in PATH")
                continue
            command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
            # As `mistudio up` starts its services; the others are given the same.
            environment = dict(os.environ) if way == SMALL_PAGES else ask_for_large_pages(os.environ)
            ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            answer = ended.stdout.strip().splitlines()[-1]
            seconds, cpu, memory, told = answer.split("\t")
            fastest = fastest or float(seconds)
            print(
                f"{way:18} {size / 1e6 / float(seconds):6.1f} MB/s  {float(cpu) * 1e9 / size:6.1f} CPU ms/MB  "
                f"{float(seconds) / fastest:5.1f}x the time of the first  {float(memory):6.0f} MB memory  {told}",
                flush=True,
            )
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
