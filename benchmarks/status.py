"""The list of datasets with its derived statuses: in Python, over GraphQL, and by reading Dagster's whole records.

Ours reads ids and runs from the instance and the rest from the disk, nothing is stored twice; over GraphQL,
`list_datasets.graphql` asks for keys by status. The alternatives take the metadata of every latest materialization,
from the instance and over GraphQL. Target for 1,000 datasets: under 100 ms, also for the first look (nothing
remembered: the command; later looks: the sensor and the webserver).

    python benchmarks/status.py [--datasets 1000] [--postgres]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from sqlalchemy import select

ROUNDS = 9
PRESET = "small"


def make_datasets(store, instance: dg.DagsterInstance, number: int) -> None:
    """Datasets that are ready: records, manifests, index, one tokenization each, and their events."""
    from mistudio_pipelines.defs.partitions import DATASETS, TOKENIZATIONS

    ids = [f"ds_dataset{place:05}_abcdef" for place in range(number)]
    instance.add_dynamic_partitions(str(DATASETS.name), ids)
    instance.add_dynamic_partitions(str(TOKENIZATIONS.name), [PRESET])
    for dataset_id in ids:
        make_files(store, dataset_id)
    report_events(instance, ids[0])
    copy_events(instance, ids[0], ids[1:])


def make_files(store, dataset_id: str) -> None:
    """What a dataset that is ready has on disk, without its texts."""
    from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest
    from mistudio_pipelines.store.records import DatasetRecord, now, write_record

    record = DatasetRecord(
        id=dataset_id, name=dataset_id, source="huggingface", revision="r", text_column="text", created_at=now()
    )
    write_record(store, record)
    file = RawFile(path="train-00000-of-00001.parquet", split="train", rows=1, size=4, sha256="0" * 64)
    write_manifest(
        store.raw(dataset_id),
        Manifest(dataset_id=dataset_id, source="huggingface", revision="r", text_column="text", files=(file,)),
    )
    (store.raw(dataset_id) / file.path).write_bytes(b"PAR1")
    store.index(dataset_id).mkdir(parents=True)
    (store.index(dataset_id) / "index.json").write_text("{}")
    store.statistics(dataset_id).write_text("{}")
    tokenized = store.tokenized(dataset_id, PRESET)
    (tokenized / "data").mkdir(parents=True)
    (tokenized / "data" / "train.parquet").write_bytes(b"PAR1")
    (tokenized / "tokenization.json").write_text(json.dumps({"files": [{"path": "data/train.parquet", "size": 4}]}))


def report_events(instance: dg.DagsterInstance, dataset_id: str) -> None:
    """The materializations of a dataset that is ready."""
    from mistudio_pipelines.defs.partitions import pair_key

    metadata = {f"key {place}": "x" * 40 for place in range(20)}
    pair = pair_key(dataset_id, PRESET)
    for asset, key in (("raw", dataset_id), ("statistics", dataset_id), ("tokenized", pair)):
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, metadata=metadata))


def copy_events(instance: dg.DagsterInstance, source: str, ids: list[str]) -> None:
    """The same events for other datasets, as rows: reported one by one, ten thousand would take very long."""
    table = SqlEventLogStorageTable
    with instance.event_log_storage.index_connection() as connection:
        rows = [
            dict(row._mapping) for row in connection.execute(select(table).where(table.c.partition.contains(source)))
        ]
        for row in rows:
            del row["id"]
        for start in range(0, len(ids), 500):
            copies = [
                {**row, "event": row["event"].replace(source, one), "partition": row["partition"].replace(source, one)}
                for one in ids[start : start + 500]
                for row in rows
            ]
            connection.execute(table.insert(), copies)


@contextmanager
def new_home(folder: Path, *, postgres: bool) -> Iterator[Path]:
    """A prepared Dagster home, its database SQLite or a PostgreSQL server that ends with the block."""
    from mistudio_pipelines.defs.instance import prepare_home
    from mistudio_pipelines_tests.postgres import NOT_FOUND, find_programs, running_postgres, use_postgres

    home = folder / "home"
    os.environ["DAGSTER_HOME"] = str(home)
    programs = find_programs() if postgres else None
    if postgres and programs is None:
        raise SystemExit(NOT_FOUND)
    with running_postgres(programs) if programs else nullcontext() as server:
        if server is not None:
            use_postgres(home, server.make_database())
        prepare_home(home)
        yield home


def median_ms(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Median milliseconds of some rounds."""
    times = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def graphql_figures(home: Path, store, number: int) -> None:
    """The list and its alternative over GraphQL, as a client on the same machine sees them."""
    from mistudio_pipelines.client import MistudioClient
    from mistudio_pipelines.serving import Services, free_port

    services = Services(home, store.root, port=free_port())
    services.start()
    try:
        client = MistudioClient(services.url)
        started = time.perf_counter()
        answer = client.query("list_datasets")
        first = 1000 * (time.perf_counter() - started)
        states = client.datasets()
        assert [one.status for one in states] == ["ready"] * number
        assert all(one.tokenizations == (PRESET,) for one in states)
        later = median_ms(lambda: client.query("list_datasets"))
        ids = [one.dataset_id for one in states]
        page = median_ms(lambda: client.records(ids[:50]))
        alternative = median_ms(lambda: client.records(ids))
    finally:
        services.stop()
    print(f"GraphQL list: first {first:.0f} ms, later {later:.0f} ms, {len(json.dumps(answer)) / 1000:.0f} kB")
    print(f"GraphQL records: a page of 50 {page:.0f} ms, of all {alternative:.0f} ms ({alternative / later:.1f} times)")


def main() -> None:
    """Make the datasets, look at them, print."""
    from mistudio_pipelines.defs.history import RAW, STATISTICS, TOKENIZED
    from mistudio_pipelines.defs.instance import open_instance
    from mistudio_pipelines.defs.status import list_datasets
    from mistudio_pipelines.store import remembered
    from mistudio_pipelines.store.layout import DataStore

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--postgres", action="store_true", help="On PostgreSQL instead of SQLite.")
    options = parser.parse_args()
    # The services that are started below must not outlive this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder, new_home(Path(folder), postgres=options.postgres) as home:
        store = DataStore(Path(folder) / "data")
        with open_instance(home) as instance:
            make_datasets(store, instance, options.datasets)

            def whole_records() -> None:
                for asset in (RAW, STATISTICS, TOKENIZED):
                    found = instance.event_log_storage.get_latest_storage_id_by_partition(
                        asset, dg.DagsterEventType.ASSET_MATERIALIZATION
                    )
                    filter_ = dg.AssetRecordsFilter(asset_key=asset, storage_ids=sorted(found.values()))
                    records = instance.fetch_materializations(filter_, limit=len(found)).records
                    assert len(records) == options.datasets

            overviews = list_datasets(instance, store)
            assert {one.status.status for one in overviews} == {"ready"}
            assert all(one.tokenizations == (PRESET,) for one in overviews)
            first = median_ms(lambda: list_datasets(instance, store), remembered.forget_all)
            later = median_ms(lambda: list_datasets(instance, store))
            alternative = median_ms(whole_records) if options.datasets <= 1000 else None
        print(f"{options.datasets} datasets on {'PostgreSQL' if options.postgres else 'SQLite'}")
        print(f"Python list: first look {first:.0f} ms, later looks {later:.0f} ms")
        if alternative is not None:
            print(f"Python, whole records: {alternative:.0f} ms ({alternative / first:.1f} times the first look)")
        graphql_figures(home, store, options.datasets)


if __name__ == "__main__":
    main()
