"""Removing what Dagster's own books say of a dataset: its runs with everything they left, events without a run, ticks.

What belongs here: Dagster's database and the files beside it. What does not: the order of a deletion (`deletion.py`)
and the dataset's own files (`store/deletion.py`). Dagster can delete a run with its events, but neither the events of
one partition that belong to no run or to a run over many datasets, nor the copy of an asset's last materialization, nor
its sensors' notes of what they requested. Those are removed from its tables, the same on SQLite and PostgreSQL. Every
step can be repeated; a run's row goes last, so that what a deletion leaves when it is cut short is found again.

What stays: runs of `delete_datasets` and backfills that name the dataset in what they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._serdes import deserialize_value, serialize_value

from mistudio_pipelines.defs.trainings import TRAINING

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

_ASSETS = ("raw", "statistics", "sample_index", "tokenized", "hub_revision")
_ROWS_PER_STATEMENT = 500
_RUNLESS = ""


def forget_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Delete runs with their events, their captured output and, on SQLite, the database file that each has."""
    storage = instance.event_log_storage
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        storage.delete_events(run_id)
        if isinstance(storage, SqlEventLogStorage):
            with storage.index_connection() as connection:
                checks = AssetCheckExecutionsTable
                connection.execute(checks.delete().where(checks.c.run_id == run_id))
        if isinstance(storage, SqliteEventLogStorage):
            database = Path(storage.path_for_shard(run_id))
            for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
        instance.run_storage.delete_run(run_id)


def forget_partition(instance: dg.DagsterInstance, partition_key: str) -> None:
    """Delete every event of a partition that is left when its runs are gone, and what sensors noted of it.

    Args:
        instance: Where they are.
        partition_key: A dataset's id (its tokenizations are then meant too) or the pair key of one tokenization.
    """
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        runs = _forget_asset_events(storage, partition_key)
        # Runs over many datasets stay; what they say of this one goes.
        for run_id in {*runs, _RUNLESS} if isinstance(storage, SqliteEventLogStorage) else runs - {_RUNLESS}:
            _forget_lines(storage, run_id, partition_key)
    _forget_ticks(instance, partition_key)
    _forget_copies(instance)


def _forget_asset_events(storage: SqlEventLogStorage, partition_key: str) -> set[str]:
    """Delete the events of a partition where they are looked up across runs; returns the runs they were of."""
    events, tags, checks = SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable
    assets = [dg.AssetKey(asset).to_string() for asset in _ASSETS]
    with storage.index_connection() as connection:
        found = connection.execute(
            events.select()
            .with_only_columns(events.c.id, events.c.run_id)
            .where(
                (events.c.asset_key.in_(assets) & _is_of(events.c.partition, partition_key))
                | ((events.c.asset_key == TRAINING.to_string()) & _mentions(events.c.event, partition_key))
            )
        ).fetchall()
        for ids in _portions([row[0] for row in found]):
            connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
            connection.execute(events.delete().where(events.c.id.in_(ids)))
        connection.execute(
            checks.delete().where(checks.c.asset_key.in_(assets) & _is_of(checks.c.partition, partition_key))
        )
    return {row[1] or _RUNLESS for row in found}


def _forget_lines(storage: SqlEventLogStorage, run_id: str, partition_key: str) -> None:
    """Delete what the log of a run says of a partition; the events of other partitions stay whatever they say."""
    events = SqlEventLogStorageTable
    of_it = _is_of(events.c.partition, partition_key)
    of_nothing = events.c.partition.is_(None) | (events.c.asset_key == TRAINING.to_string())
    with storage.run_connection(run_id) as connection:
        connection.execute(
            events.delete().where(
                (events.c.run_id == run_id) & (of_it | (of_nothing & _mentions(events.c.event, partition_key)))
            )
        )


def _forget_ticks(instance: dg.DagsterInstance, partition_key: str) -> None:
    """Delete the notes of a sensor's look that requested a run for the partition."""
    schedules: Any = instance.schedule_storage
    if isinstance(schedules, SqlScheduleStorage):
        with schedules.connect() as connection:
            connection.execute(JobTickTable.delete().where(_mentions(JobTickTable.c.tick_body, partition_key)))


def _forget_copies(instance: dg.DagsterInstance) -> None:
    """Show as an asset's last materialization the last that there still is.

    Dagster keeps a copy of it, with all its metadata, and a cache of which partitions are there; deleting the run
    changes neither, and the UI would stay green.
    """
    storage = instance.event_log_storage
    for asset in map(dg.AssetKey, _ASSETS):
        if isinstance(storage, SqlEventLogStorage):
            with storage.index_connection() as connection:
                _mend_copy(connection, asset.to_string())
        instance.wipe_asset_cached_status([asset])


def _mend_copy(connection: Connection, asset: str) -> None:
    events, assets = SqlEventLogStorageTable, AssetKeyTable
    last = connection.execute(
        events.select()
        .with_only_columns(events.c.id, events.c.run_id, events.c.event)
        .where(
            (events.c.asset_key == asset)
            & (events.c.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value)
        )
        .order_by(events.c.id.desc())
        .limit(1)
    ).fetchone()
    copy = None
    if last is not None:
        record = dg.EventLogRecord(storage_id=last[0], event_log_entry=deserialize_value(last[2], dg.EventLogEntry))
        copy = serialize_value(record)
    values = {"last_materialization": copy, "last_run_id": last[1] if last is not None else None}
    connection.execute(assets.update().values(**values).where(assets.c.asset_key == asset))


def _is_of(column: ColumnElement[Any], partition_key: str) -> ColumnElement[bool]:
    """True for the partition itself and, where it is a dataset, for each of its tokenizations."""
    return (column == partition_key) | column.startswith(f"{partition_key}|", autoescape=True)


def _mentions(column: ColumnElement[Any], partition_key: str) -> ColumnElement[bool]:
    return column.contains(partition_key, autoescape=True)


def _portions(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    """As many as one statement of any database takes."""
    return (ids[start : start + _ROWS_PER_STATEMENT] for start in range(0, len(ids), _ROWS_PER_STATEMENT))
