"""What Dagster's database holds after a thousand datasets' year, with and without what removes the old.

Really done, on SQLite or PostgreSQL: some datasets go through download, ingestion and tokenization and are browsed, and
sensors look some thousand times and find nothing. A year of a thousand datasets follows by multiplying, because each
dataset, run and look adds its own rows. Assumed: each dataset is added, tokenized with two presets and browsed ten
times; services are up all year, with two sensors that look every 5 and every 30 seconds.

    python benchmarks/growth.py [--datasets 10] [--postgres]
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from status import new_home

DATASETS, PRESETS, PAGES, TICKS = 1000, 2, 10, 2000
TICKS_A_DAY = 24 * 3600 // 5 + 24 * 3600 // 30
MEGABYTE = 1_000_000


def database_bytes(home: Path, *, postgres: bool) -> int:
    """Bytes of the database, and on SQLite of its files in the Dagster home."""
    if not postgres:
        return sum(path.stat().st_size for name in ("history", "schedules") for path in (home / name).rglob("*.db*"))
    import psycopg2

    settings = {name: os.environ[f"DAGSTER_PG_{name.upper()}"] for name in ("host", "port", "password")}
    connection = psycopg2.connect(
        user=os.environ["DAGSTER_PG_USERNAME"], dbname=os.environ["DAGSTER_PG_DB"], **settings
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL")
        cursor.execute("SELECT pg_database_size(current_database())")
        size = int(cursor.fetchone()[0])
    connection.close()
    return size


def look(instance: dg.DagsterInstance, number: int) -> None:
    """Note looks of a sensor that found nothing to do."""
    for _ in range(number):
        instance.create_tick(
            TickData(
                instigator_origin_id="0" * 40,
                instigator_name="advance_datasets",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.SKIPPED,
                timestamp=datetime.now(UTC).timestamp(),
                skip_reason="No dataset waits for anything.",
                selector_id="1" * 40,
            )
        )


def main() -> None:
    """Do it, multiply, print."""
    from mistudio_pipelines.defs.instance import open_instance
    from mistudio_pipelines.defs.partitions import pair_key
    from mistudio_pipelines.defs.pruning import find_prunable, prune, vacuum
    from mistudio_pipelines.defs.status import list_datasets
    from mistudio_pipelines.defs.transitions import TransitionLog
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines_tests.defs.conftest import Workshop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=10)
    parser.add_argument("--postgres", action="store_true", help="On PostgreSQL instead of SQLite.")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, new_home(Path(folder), postgres=options.postgres) as home:
        store = DataStore(Path(folder) / "data")
        with open_instance(home) as instance:
            workshop, transitions = Workshop(store, instance, Path(folder)), TransitionLog()
            presets = [workshop.save_preset(f"preset-{number}", 64) for number in range(PRESETS)]

            def size() -> int:
                return database_bytes(home, postgres=options.postgres)

            def grown(work: Callable[[], None], units: int) -> float:
                before = size()
                work()
                if not options.postgres:
                    vacuum(home)
                return (size() - before) / units

            def make() -> None:
                for number in range(options.datasets):
                    texts = [f"text {place} of dataset {number} with some words" for place in range(500)]
                    key = workshop.add(workshop.write_texts(f"{number}.jsonl", texts))
                    pairs = [("tokenize", pair_key(key, preset)) for preset in presets]
                    for job, partition in (("download", key), ("ingest", key), *pairs):
                        transitions.note(instance, store, list_datasets(instance, store))
                        assert workshop.run(job, partition).success
                    transitions.note(instance, store, list_datasets(instance, store))

            def browse() -> None:
                for one in list_datasets(instance, store):
                    config = {"ops": {"browse": {"config": {"dataset_id": one.record.id, "search": "words"}}}}
                    assert workshop.run("browse_samples", run_config=config).success

            empty = size()
            dataset = grown(make, options.datasets)
            page = grown(browse, options.datasets)
            tick = grown(lambda: look(instance, TICKS), TICKS)
            before = size()
            prune(instance, find_prunable(instance, datetime.now(UTC) + timedelta(days=1)))
            if not options.postgres:
                vacuum(home)
            freed = (before - size()) / options.datasets
            statuses = {one.status.status for one in list_datasets(instance, store)}
            assert statuses == {"ready"}, statuses

    print(f"{'PostgreSQL' if options.postgres else 'SQLite'}: an empty database {empty / MEGABYTE:.1f} MB")
    print(f"a dataset made and tokenized: {dataset / 1000:.0f} kB; a page browsed: {page / 1000:.0f} kB")
    print(f"a look of a sensor: {tick:.0f} B")
    print(f"pruning frees {freed / 1000:.0f} kB a dataset; every dataset is still ready")
    made, browsed = DATASETS * dataset, DATASETS * PAGES * page
    looks, looks_kept = 365 * TICKS_A_DAY * tick, TICKS_A_DAY * tick
    pruned = DATASETS * max(0.0, freed - page)  # what of the pages goes with them, and older notes of statuses
    print(f"a year of {DATASETS} datasets: {(made + browsed + looks) / MEGABYTE:,.0f} MB if nothing were removed,")
    print(f"  {(made + browsed + looks_kept) / MEGABYTE:,.0f} MB with the retention of dagster.yaml,")
    print(f"  {(made - pruned + looks_kept) / MEGABYTE:,.0f} MB with `mistudio prune` too")


if __name__ == "__main__":
    main()
