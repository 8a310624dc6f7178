"""Latency of the REST API with 50 clients: the list of 1,000 datasets, a dataset, its statistics, pages of samples.

Each is asked in three ways: by one client; by 50 that together ask 100 times a second (what the PRD wants of an edge
box), of samples 25 times (each of the 50 turns a page every two seconds); and by 50 that ask again as soon as they
are answered (how much it can do). Targets at p95 with 50 clients: list and dataset 100 ms, statistics 200 ms, samples
300 ms over 1,000,000 samples. The alternative for samples opens the dataset with every request, as `mistudio samples`
does; for the list it derives the statuses with every request.

The clients are a process of their own on the same machine, so they take processor time from the server.

    python benchmarks/api.py [--megabytes 1000] [--datasets 1000] [--seconds 10] [--folder /tmp/somewhere]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent))

from ingestion import DATASET
from mixed_corpus import make_mixed_corpus
from search import draw_queries
from status import make_datasets

from mistudio_pipelines.serving import answers, free_port
from mistudio_pipelines.store.layout import DataStore

CLIENTS = 50
REQUESTS_PER_SECOND = 100
PAGES_PER_SECOND = 25
TARGETS = {"list": 100, "dataset": 100, "statistics": 200, "samples": 300}


def prepare(store: DataStore, home: Path, megabytes: int, datasets: int) -> None:
    """A Dagster home with many small datasets and one of a gigabyte; nothing where it is there already."""
    from mistudio_pipelines.defs.instance import open_instance, prepare_home
    from mistudio_pipelines.defs.partitions import DATASETS
    from mistudio_pipelines.store.manifest import read_manifest
    from mistudio_pipelines.store.records import DatasetRecord, now, write_record
    from mistudio_pipelines.text.ingestion import ingest

    if (home / "prepared").exists():
        return
    prepare_home(home)
    make_mixed_corpus(store, DATASET, megabytes)
    ingest(store, DATASET)
    manifest = read_manifest(store.raw(DATASET))
    record = DatasetRecord(
        id=DATASET,
        name="mixed corpus",
        source=manifest.source,
        revision=manifest.revision,
        text_column=manifest.text_column,
        created_at=now(),
    )
    with open_instance(home) as instance:
        make_datasets(store, instance, datasets)
        write_record(store, record)
        instance.add_dynamic_partitions(str(DATASETS.name), [DATASET])
    (home / "prepared").touch()


@contextmanager
def server(store: DataStore, home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """`mistudio panel` in a process of its own; gives its port."""
    port = free_port()
    environment = {**os.environ, "DAGSTER_HOME": str(home), "MISTUDIO_DATA": str(store.root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = "from mistudio_pipelines.cli import main; main()"
    command = [sys.executable, "-c", code, "panel", "--port", str(port), "--dagster-url", "http://127.0.0.1:1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not answers(f"http://127.0.0.1:{port}", "/api/health"):
                time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def addresses(store: DataStore) -> dict[str, list[str]]:
    """What is asked, by kind."""
    generator = random.Random(0)
    small = [f"ds_dataset{place:05}_abcdef" for place in range(900)]
    kinds = {
        "list": ["/api/datasets", "/api/datasets?page=2", "/api/datasets?search=dataset007&limit=20"],
        "dataset": [f"/api/datasets/{one}" for one in [*generator.sample(small, 40), *[DATASET] * 10]],
        "statistics": [f"/api/datasets/{DATASET}/statistics"],
    }
    searches = draw_queries(store, 40)
    wanted = (
        "words",
        "frequent words",
        "AND",
        "prefixes",
        "words and filters",
        "filters alone",
        "deep pages",
        "phrases",
    )
    for kind in wanted:
        kinds[f"samples: {kind}"] = [f"/api/datasets/{DATASET}/samples?{_parameters(one)}" for one in searches[kind]]
    kinds["samples: all mixed"] = [one for kind in wanted for one in kinds[f"samples: {kind}"]]
    return kinds


def _parameters(query) -> str:
    fields = {
        "search": query.search,
        "split": query.splits and query.splits[0],
        "min_tokens": query.min_tokens,
        "max_tokens": query.max_tokens,
        "page": query.page,
        "sort": query.sort,
    }
    return urlencode({key: value for key, value in fields.items() if value is not None})


async def ask(port: int, choices: list[str], seconds: float, clients: int, pause: float) -> list[float]:
    """Milliseconds of each answer, asked by so many clients on a connection each.

    Args:
        port: Of the server.
        choices: What to ask, at random.
        seconds: For how long.
        clients: How many ask at a time.
        pause: Mean seconds between two questions of one client; 0: as soon as it is answered.
    """
    found: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        generator = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.perf_counter() + generator.random() * pause
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            # Counted from when it was due: a server that is late delays what comes after it.
            started = due if pause else time.perf_counter()
            writer.write(f"GET {generator.choice(choices)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200"), head + body
            found.append((time.perf_counter() - started) * 1000)
            due = due + generator.expovariate(1 / pause) if pause else time.perf_counter()
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return found


def measure(port: int, process: psutil.Process, kind: str, choices: list[str], seconds: float) -> None:
    """One line of the table."""
    asyncio.run(ask(port, choices, 1.0, 1, 0))
    parts = []
    before = sum(process.cpu_times()[:2])
    rate = PAGES_PER_SECOND if kind.startswith("samples") else REQUESTS_PER_SECOND
    ways = {"1 client": (1, 0.0), f"50 clients {rate:3}/s": (CLIENTS, CLIENTS / rate), "50 at once": (CLIENTS, 0.0)}
    count = 0
    for name, (clients, pause) in ways.items():
        found = asyncio.run(ask(port, choices, seconds, clients, pause))
        p50, p95 = np.percentile(found, [50, 95])
        count += len(found)
        answered = f" {len(found) / seconds:4.0f}/s" if not pause else ""
        parts.append(f"{name} p50 {p50:6.1f} p95 {p95:6.1f}{answered}")
    cpu = (sum(process.cpu_times()[:2]) - before) / count * 1000
    target = next(limit for key, limit in TARGETS.items() if kind.startswith(key))
    print(f"  {kind:26} {'   '.join(parts)}   cpu {cpu:5.1f} ms each   target {target} ms", flush=True)


def alternatives(store: DataStore, home: Path, kinds: dict[str, list[str]]) -> None:
    """Without what is kept warm: everything is opened and derived again with every question, one at a time."""
    from mistudio_pipelines.defs.instance import open_instance
    from mistudio_pipelines.defs.status import list_datasets
    from mistudio_pipelines.text.browsing import browse

    queries = [
        one for kind in ("words", "frequent words", "words and filters") for one in draw_queries(store, 10)[kind]
    ]
    with open_instance(home) as instance:
        _time("list, derived each time", [lambda: list_datasets(instance, store)] * 20)
    _time("samples, opened each time", [lambda query=query: browse(store, DATASET, query) for query in queries])


def _time(name: str, works: list[Callable[[], object]]) -> None:
    milliseconds = []
    for work in works:
        started = time.perf_counter()
        work()
        milliseconds.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(milliseconds, [50, 95])
    print(f"  {name:26} 1 at a time p50 {p50:6.1f} p95 {p95:6.1f}")


def main() -> None:
    """Prepare, serve, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", default="", help="only kinds that begin so")
    parser.add_argument("--folder", type=Path, help="kept; otherwise a temporary folder")
    arguments = parser.parse_args()
    kept = nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory(prefix="api")
    with kept as folder:
        store, home = DataStore(Path(folder).resolve() / "data"), Path(folder).resolve() / "home"
        os.environ["DAGSTER_HOME"] = str(home)
        prepare(store, home, arguments.megabytes, arguments.datasets)
        kinds = addresses(store)
        total = json.loads(store.statistics(DATASET).read_text())["total"]
        print(
            f"{arguments.datasets + 1:,} datasets; {total['samples']:,} samples, {total['bytes'] / 1e6:.0f} MB of text"
        )
        with server(store, home) as (port, process):
            print(f"  at the start {process.memory_info().rss / 1e6:.0f} MB of memory, load {os.getloadavg()[0]:.1f}")
            for kind, choices in kinds.items():
                if kind.startswith(arguments.only):
                    measure(port, process, kind, choices, arguments.seconds)
            print(f"  at the end {process.memory_info().rss / 1e6:.0f} MB of memory")
        alternatives(store, home, kinds)


if __name__ == "__main__":
    main()
