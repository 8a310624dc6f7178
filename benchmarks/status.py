"""The list of datasets with its derived statuses: 1,000 datasets, beside reading Dagster's whole records of each.

Ours reads ids and runs from the instance and the rest from the disk, nothing is stored twice; the alternative takes
the metadata of every latest materialization from Dagster. Target: under 100 ms (first look, nothing remembered: the
command; later looks: the sensor).

    python benchmarks/status.py [--datasets 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

ROUNDS = 7


def make_datasets(store, instance: dg.DagsterInstance, number: int) -> None:
    """Datasets that are ready: records, manifests, index, one tokenization each, and their events."""
    from mistudio_pipelines.defs.partitions import DATASETS, pair_key
    from mistudio_pipelines.store.manifest import Manifest, RawFile, write_manifest
    from mistudio_pipelines.store.records import DatasetRecord, now, write_record

    ids = [f"ds_dataset{place:05}_abcdef" for place in range(number)]
    instance.add_dynamic_partitions(str(DATASETS.name), ids)
    metadata = {f"key {place}": "x" * 40 for place in range(20)}
    for dataset_id in ids:
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
        tokenized = store.tokenized(dataset_id, "small")
        (tokenized / "data").mkdir(parents=True)
        (tokenized / "data" / "train.parquet").write_bytes(b"PAR1")
        (tokenized / "tokenization.json").write_text(json.dumps({"files": [{"path": "data/train.parquet", "size": 4}]}))
        for asset, partition in (
            ("raw", dataset_id),
            ("statistics", dataset_id),
            ("tokenized", pair_key(dataset_id, "small")),
        ):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))


def median_ms(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Median milliseconds of some rounds."""
    times = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> None:
    """Make the datasets, look at them, print."""
    from mistudio_pipelines.defs.history import RAW, STATISTICS, TOKENIZED
    from mistudio_pipelines.defs.instance import open_instance, prepare_home
    from mistudio_pipelines.defs.status import list_datasets
    from mistudio_pipelines.store import remembered
    from mistudio_pipelines.store.layout import DataStore

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["DAGSTER_HOME"] = str(home)
        prepare_home(home)
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
            assert all(one.tokenizations == ("small",) for one in overviews)
            first = median_ms(lambda: list_datasets(instance, store), remembered.forget_all)
            later = median_ms(lambda: list_datasets(instance, store))
            alternative = median_ms(whole_records)
    print(f"{options.datasets} datasets: first look {first:.0f} ms, later looks {later:.0f} ms")
    print(f"whole records from Dagster: {alternative:.0f} ms ({alternative / first:.1f} times the first look)")


if __name__ == "__main__":
    main()
