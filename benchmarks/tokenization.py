"""Tokenization: ours beside `datasets.map` as a plain design has it, Hugging Face's engine alone, and SAELens' way.

One corpus, GPT-2, rows of 1,024 tokens. Ours is timed from the call to the published folder: loading the tokenizer,
encoding, packing, statistics, hashes, the map of sources, Parquet, fsync. What others leave out is left out for them:
`datasets.map` has its texts in Arrow already, and the engines alone throw their results away. Libraries are imported
before the clock starts. Each way runs in a process of its own, on as many cores as `--cores` says. Slow ways run on a
part of the corpus (`--slow-megabytes`), and speeds are compared, because the cost of all of them is linear.

    python benchmarks/tokenization.py [--cores 1] [--slow-megabytes 24] [--repeat 1]

`MISTUDIO_BENCHMARK_DATA` names the folder that holds `corpus/*.parquet` and `tokenizers/gpt2` (default ../shared/data).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("MISTUDIO_BENCHMARK_DATA", "../shared/data"))
TOKENIZER = DATA / "tokenizers" / "gpt2"
CONTEXT = 1024
DATASET = "ds_local_benchmark_aaaaaa"


def corpus_files(megabytes: int | None, folder: Path, repeat: int) -> list[Path]:
    """The corpus, or about so many megabytes of it in one file."""
    import pyarrow.parquet as pq

    files = sorted((DATA / "corpus").glob("*.parquet"))
    if megabytes is None:
        return files * repeat
    table = pq.read_table(files[0], columns=["text"])
    rows = 0
    size = 0
    for text in table["text"]:
        if size >= megabytes * 1_000_000:
            break
        size += len(text.as_py().encode())
        rows += 1
    path = folder / "part.parquet"
    pq.write_table(table.slice(0, rows), path, row_group_size=1000)
    return [path]


def make_store(root: Path, files: list[Path]):
    """A data folder with the corpus as raw dataset, and the preset."""
    import pyarrow.parquet as pq

    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest
    from mistudio_pipelines.tokenization.presets import TokenizationPreset, save_preset

    store = DataStore(root)
    folder = store.raw(DATASET)
    folder.mkdir(parents=True)
    raw = []
    for number, file in enumerate(files):
        path = folder / f"train-{number:05d}-of-{len(files):05d}.parquet"
        shutil.copy(file, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows = pq.read_metadata(path).num_rows
        raw.append(RawFile(path=path.name, split="train", rows=rows, size=path.stat().st_size, sha256=digest))
    write_manifest(
        folder, Manifest(dataset_id=DATASET, source="local", revision="1", text_column="text", files=tuple(raw))
    )
    save_preset(store, TokenizationPreset(name="gpt2", tokenizer=str(TOKENIZER), context_size=CONTEXT))
    return store


def texts_of(files: list[Path]) -> list[str]:
    """All texts, in memory."""
    import pyarrow.parquet as pq

    return [text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]


def ours(files: list[Path], folder: Path, *, fast: bool) -> dict:
    """The whole of `tokenize_dataset`; the proof of the fast engine is made before, and timed apart."""
    import datasets  # noqa: F401  (imported before the clock starts, as for the others)

    from mistudio_pipelines.progress import ignore_progress, never_stop
    from mistudio_pipelines.store.manifest import read_manifest
    from mistudio_pipelines.tokenization import engine_choice
    from mistudio_pipelines.tokenization.engine_choice import plan_engine
    from mistudio_pipelines.tokenization.engine_proof import withdraw_proof
    from mistudio_pipelines.tokenization.engines import _fastokens_tokenizer, _tokenizers_tokenizer
    from mistudio_pipelines.tokenization.planning import make_plan
    from mistudio_pipelines.tokenization.presets import load_preset
    from mistudio_pipelines.tokenization.tokenize import tokenize_dataset

    store = make_store(folder, files)
    engine_choice.WORTH_PROVING_BYTES = 0
    plan = make_plan(store, read_manifest(store.raw(DATASET)), load_preset(store, "gpt2"))
    began = time.perf_counter()
    plan_engine(store, plan, ignore_progress, never_stop)
    proof = time.perf_counter() - began
    if not fast:
        withdraw_proof(store, plan.identity.sha256, "fastokens", "tokenizers", "the benchmark asks for it")
    # What the proof warmed is thrown away: the engines are built again while the clock runs.
    _fastokens_tokenizer.cache_clear()
    _tokenizers_tokenizer.cache_clear()
    clock = Clock()
    result = tokenize_dataset(store, DATASET, "gpt2")
    taken = clock.stop()
    counts = result.counts
    return {
        **taken,
        "bytes": counts.text_bytes,
        "tokens": counts.tokens_encoded,
        "disk": result.bytes,
        "note": f"{result.engine.engine}; proof once {proof:.1f} s" if fast else result.engine.engine,
    }


def plain_design(files: list[Path], folder: Path) -> dict:
    """`dataset.map(tokenizer, batched=True)` and `save_to_disk`; rows truncated and padded to the context."""
    from datasets import load_dataset
    from transformers import AutoTokenizer

    dataset = load_dataset(
        "parquet", data_files=[str(file) for file in files], split="train", cache_dir=str(folder / "cache")
    ).select_columns(["text"])
    size = sum(len(text.encode()) for text in dataset["text"])
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(str(TOKENIZER))
    tokenizer.pad_token = tokenizer.eos_token

    def encode(examples):
        return tokenizer(examples["text"], truncation=True, max_length=CONTEXT, padding="max_length")

    tokenized = dataset.map(encode, batched=True, batch_size=1000, num_proc=2, remove_columns=["text"])
    tokenized.save_to_disk(str(folder / "saved"))
    return {**clock.stop(), "bytes": size, "disk": folder_bytes(folder / "saved"), "note": "documents cut at 1,024"}


def hugging_face_engine(files: list[Path], folder: Path) -> dict:
    """`encode_batch_fast` with nothing else done."""
    from transformers import AutoTokenizer

    backend = AutoTokenizer.from_pretrained(str(TOKENIZER)).backend_tokenizer
    texts = texts_of(files)
    clock = Clock()
    for begin in range(0, len(texts), 1000):
        backend.encode_batch_fast(texts[begin : begin + 1000])
    return {**clock.stop(), "bytes": sum(len(text.encode()) for text in texts)}


def fast_engine(files: list[Path], folder: Path) -> dict:
    """`encode_batch_flat` with nothing else done."""
    import fastokens
    from transformers import AutoTokenizer

    engine = fastokens.Tokenizer.from_json_str(AutoTokenizer.from_pretrained(str(TOKENIZER)).backend_tokenizer.to_str())
    texts = texts_of(files)
    clock = Clock()
    for begin in range(0, len(texts), 1000):
        engine.encode_batch_flat(texts[begin : begin + 1000])
    return {**clock.stop(), "bytes": sum(len(text.encode()) for text in texts)}


def fast_engine_reading(files: list[Path], folder: Path) -> dict:
    """`encode_batch_flat` on texts as they are read from Parquet, its results thrown away."""
    import fastokens
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    engine = fastokens.Tokenizer.from_json_str(AutoTokenizer.from_pretrained(str(TOKENIZER)).backend_tokenizer.to_str())
    size = 0
    clock = Clock()
    for file in files:
        for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(1000, columns=["text"], use_threads=False):
            engine.encode_batch_flat(batch["text"].to_pylist())
            size += batch["text"].nbytes
    return {**clock.stop(), "bytes": size}


def one_document_at_a_time(files: list[Path], folder: Path) -> dict:
    """SAELens' way without torch: `tokenizer.encode` of each document in `dataset.map`, packed by 1,000 documents."""
    import numpy as np
    from datasets import load_dataset
    from transformers import AutoTokenizer

    dataset = load_dataset(
        "parquet", data_files=[str(file) for file in files], split="train", cache_dir=str(folder / "cache")
    ).select_columns(["text"])
    size = sum(len(text.encode()) for text in dataset["text"])
    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(str(TOKENIZER))
    tokenizer.model_max_length = sys.maxsize
    bos = tokenizer.bos_token_id

    def pack(examples):
        rows, row = [], np.array([bos])
        for text in examples["text"]:
            rest = np.array(tokenizer.encode(text))
            if len(row) > 1:
                rest = np.concatenate([[bos], rest])
            while len(rest):
                taken = CONTEXT - len(row)
                row, rest = np.concatenate([row, rest[:taken]]), rest[taken:]
                if len(row) == CONTEXT:
                    rows.append(row)
                    row = np.array([bos])
        return {"input_ids": rows}

    dataset.map(pack, batched=True, batch_size=1000, num_proc=2, remove_columns=["text"]).save_to_disk(
        str(folder / "saved")
    )
    return {**clock.stop(), "bytes": size, "disk": folder_bytes(folder / "saved"), "note": "tail of each 1,000 lost"}


class Clock:
    """Seconds of wall and of all cores, of this process and the ones it starts."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), self._cpu_now()

    @staticmethod
    def _cpu_now() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    def stop(self) -> dict:
        """What went by since the clock was made."""
        return {"seconds": time.perf_counter() - self._wall, "cpu": self._cpu_now() - self._cpu}


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# Name → (function, whether it runs on a part of the corpus).
WAYS = {
    "ours, fast engine": (lambda files, folder: ours(files, folder, fast=True), False),
    "ours, Hugging Face's engine": (lambda files, folder: ours(files, folder, fast=False), True),
    "datasets.map, num_proc=2": (plain_design, True),
    "one document at a time (SAELens)": (one_document_at_a_time, True),
    "Hugging Face's engine alone": (hugging_face_engine, True),
    "fast engine alone": (fast_engine, False),
    "fast engine, reading Parquet": (fast_engine_reading, False),
}


def run_child(way: str, arguments: argparse.Namespace) -> None:
    """Run one way on the cores it may use, and print what it took as JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    os.environ["RAYON_NUM_THREADS"] = str(arguments.cores)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    function, on_a_part = WAYS[way]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = corpus_files(arguments.slow_megabytes if on_a_part else None, folder, arguments.repeat)
        outcome = function(files, folder / "work")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({**outcome, "peak": peak * 1024}))


def main() -> None:
    """Run each way in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--slow-megabytes", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=1, help="times the corpus, for the ways that run on all of it")
    parser.add_argument("--only", action="append", choices=list(WAYS), help="run only these ways")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_child(arguments.way, arguments)
        return
    speeds: dict[str, float] = {}
    core_speeds: dict[str, float] = {}
    print(
        f"{arguments.cores} core(s)\n{'':34}{'MB':>6}{'seconds':>9}{'CPU s':>8}{'MB/s':>8}{'peak MB':>9}{'disk MB':>9}"
    )
    for way in arguments.only or WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(output.strip().splitlines()[-1])
        speeds[way] = found["bytes"] / 1e6 / found["seconds"]
        core_speeds[way] = found["bytes"] / 1e6 / found["cpu"]
        disk = f"{found['disk'] / 1e6:9.1f}" if "disk" in found else f"{'–':>9}"
        numbers = f"{found['bytes'] / 1e6:6.0f}{found['seconds']:9.2f}{found['cpu']:8.2f}{speeds[way]:8.1f}"
        print(f"{way:34}{numbers}{found['peak'] / 1e6:9.0f}{disk}  {found.get('note', '')}", flush=True)
    # A machine that does other work too makes the wall clock wrong, not the seconds of its cores.
    for name, by in (("wall clock", speeds), ("seconds of cores", core_speeds)):
        plain = by.get("datasets.map, num_proc=2")
        for way in by:
            if plain and way.startswith("ours"):
                print(f"{way}: {by[way] / plain:.1f} times datasets.map by {name}")
        for way in ("fast engine alone", "fast engine, reading Parquet"):
            if way in by and "ours, fast engine" in by:
                print(f"ours reaches {by['ours, fast engine'] / by[way]:.0%} of the {way}, by {name}")


if __name__ == "__main__":
    main()
