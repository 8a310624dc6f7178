"""A disk that is full at random moments, read-only, or that holds something else than was written; clock jumps."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mistudio_pipelines.defs.partitions import pair_key
from mistudio_pipelines.defs.retrying import retry_request
from mistudio_pipelines.defs.status import DatasetOverview, show_dataset
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.manifest import read_manifest
from mistudio_pipelines.store.raw_folder import verify_raw
from mistudio_pipelines.store.scrubbing import Scrubber
from mistudio_pipelines.store.space import free_bytes
from mistudio_pipelines.tokenization.proof import check_tokenization
from mistudio_pipelines_tests.defs.conftest import Workshop
from mistudio_pipelines_tests.faults import Faults

pytestmark = pytest.mark.timeout(900)

TEXTS = [f"text number {number} " + "with some more words " * 60 for number in range(12_000)]
PRESET = "small"


@pytest.fixture
def small_disk(workshop: Workshop, tmp_path: Path) -> Iterator[Path]:
    """The data folder on a file system of its own of 700 MB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    workshop.store = DataStore(folder / "data")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _look(workshop: Workshop, dataset_id: str) -> DatasetOverview:
    return show_dataset(workshop.instance, workshop.store, dataset_id)


def _run_all(workshop: Workshop, dataset_id: str) -> bool:
    stages = (("download", dataset_id), ("ingest", dataset_id), ("tokenize", pair_key(dataset_id, PRESET)))
    return all(workshop.run(job, partition).success for job, partition in stages)


def _assert_verified_where_ready(workshop: Workshop, dataset_id: str) -> None:
    overview = _look(workshop, dataset_id)
    if overview.status.status == "ready":
        folder = workshop.store.raw(dataset_id)
        assert verify_raw(folder, read_manifest(folder)) == []
        for preset in overview.tokenizations:
            assert check_tokenization(workshop.store, dataset_id, preset) == []


@pytest.mark.parametrize(("seed", "fillings"), [(1, 1), pytest.param(None, 8, marks=pytest.mark.chaos)])
def test_a_disk_that_is_full_at_random_moments_ends_in_a_true_error_and_a_retry(
    workshop: Workshop, small_disk: Path, faults: Faults, seed: int | None, fillings: int
) -> None:
    seed = random.randrange(1 << 30) if seed is None else seed
    chance = random.Random(seed)
    workshop.save_preset(PRESET)
    outcomes: Counter[str] = Counter()
    for number in range(fillings):
        faults.cause("full disk")
        dataset_id = workshop.add(workshop.write_texts(f"texts{number}.jsonl", [f"{number} {text}" for text in TEXTS]))
        filler = small_disk / "filler"
        delay = chance.uniform(0, 4)

        def fill(delay: float = delay, filler: Path = filler) -> None:
            time.sleep(delay)
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    os.posix_fallocate(file.fileno(), file.tell(), 1 << 20)
                    file.seek(1 << 20, os.SEEK_CUR)

        thread = threading.Thread(target=fill)
        thread.start()
        survived = _run_all(workshop, dataset_id)
        thread.join()
        overview = _look(workshop, dataset_id)
        outcomes["went through" if survived else str(overview.status.error_code)] += 1
        assert survived or overview.status.status == "error", overview.status
        _assert_verified_where_ready(workshop, dataset_id)
        filler.unlink()
        assert _run_all(workshop, dataset_id)
        assert _look(workshop, dataset_id).status.status == "ready"
        _assert_verified_where_ready(workshop, dataset_id)
        workshop.run("delete_datasets", run_config=_deletion(dataset_id))
        assert not workshop.store.raw(dataset_id).exists()
        faults.survived()
    print(f"\nseed {seed}: the disk was full {fillings} times: {dict(outcomes)}; all ready after a retry")


def _deletion(dataset_id: str) -> dict[str, object]:
    return {"ops": {"delete": {"config": {"dataset_ids": [dataset_id], "confirm": [dataset_id]}}}}


def test_a_dataset_can_be_deleted_from_a_disk_without_a_free_byte(
    workshop: Workshop, small_disk: Path, faults: Faults
) -> None:
    faults.cause("full disk")
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS))
    assert workshop.run("download", dataset_id).success
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
    assert free_bytes(small_disk) == 0
    workshop.run("delete_datasets", run_config=_deletion(dataset_id))
    assert not workshop.store.raw(dataset_id).exists()
    assert free_bytes(small_disk) > 0
    faults.survived()


def test_a_read_only_data_folder_is_one_sentence_and_mends_itself_with_the_disk(
    workshop: Workshop, small_disk: Path, faults: Faults
) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS[:100]))
    faults.cause("read-only disk")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert not workshop.run("download", dataset_id).success
    status = _look(workshop, dataset_id).status
    assert status.status == "error"
    assert "read-only" in (status.error or "").lower(), status
    print(f"\nread-only: {status.error}")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert workshop.run("download", dataset_id).success
    faults.survived()


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _scribble(path: Path) -> None:
    path.write_bytes(os.urandom(64))


def _rot(path: Path) -> None:
    """Another byte, at the same size and time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGES: list[tuple[str, str, Callable[[Path], None]]] = [
    ("raw", "*.parquet", _truncate),
    ("raw", "*.parquet", Path.unlink),
    ("raw", "manifest.json", _scribble),
    ("raw", "manifest.json", _truncate),
    ("raw", "*.parquet", _rot),
    ("index", "index.json", Path.unlink),
    ("index", "index.json", _scribble),
    ("index", "tokens.u32", _truncate),
    ("index", "tantivy/*.store", _rot),
    ("tokenized", "data/*.parquet", _truncate),
    ("tokenized", "data/*.parquet", Path.unlink),
    ("tokenized", "data/*.parquet", _rot),
    ("tokenized", "tokenization.json", _scribble),
]


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.chaos)])
def test_damaged_files_are_an_error_that_a_retry_mends(workshop: Workshop, faults: Faults, every: int) -> None:
    workshop.save_preset(PRESET)
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS[:500]))
    assert _run_all(workshop, dataset_id)
    for part, pattern, damage in DAMAGES[::every]:
        folder = {
            "raw": workshop.store.raw(dataset_id),
            "index": workshop.store.index(dataset_id),
            "tokenized": workshop.store.tokenized(dataset_id, PRESET),
        }[part]
        faults.cause("damaged file")
        damage(next(iter(sorted(folder.glob(pattern)))))
        Scrubber().scrub(workshop.store, 1 << 30)
        status = _look(workshop, dataset_id).status
        assert status.status == "error", (part, pattern, damage.__name__, status)
        for _ in range(3):
            if _look(workshop, dataset_id).status.status == "ready":
                break
            overview = _look(workshop, dataset_id)
            job = "ingest" if overview.status.status == "ingesting" else retry_request(overview).job
            key = pair_key(dataset_id, PRESET) if job == "tokenize" else dataset_id
            assert workshop.run(job, key).success, (part, pattern, job)
        assert _look(workshop, dataset_id).status.status == "ready", (part, pattern, damage.__name__)
        _assert_verified_where_ready(workshop, dataset_id)
        faults.survived()
    print(f"\n{len(DAMAGES[::every])} kinds of damage: all shown as errors, all mended by a retry")


def test_a_clock_that_jumps_changes_no_status(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    dataset_id = workshop.add(workshop.write_texts("texts.jsonl", TEXTS[:100]))
    assert workshop.run("download", dataset_id).success
    real = time.time
    for jump in (-20 * 365 * 86400.0, 10 * 365 * 86400.0, 0.0):
        faults.cause("clock jump", jump != 0)
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert _look(workshop, dataset_id).status.status == "ingesting"
        assert workshop.run("ingest", dataset_id).success
        assert _look(workshop, dataset_id).status.status == "ready"
        assert workshop.run("download", dataset_id).success
    faults.survived()
    print("\nthe clock jumped 20 years back and 10 forth: every status stayed true")
