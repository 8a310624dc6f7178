"""Keeping Dagster's database small: runs and notes that nothing current depends on are removed after some time.

What belongs here: choosing what may go, and giving the room back. What does not: removing a run with everything it left
(`forgetting.py`), and the notes of sensors and schedules, which Dagster removes itself (`retention` in dagster.yaml).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from sqlalchemy import ColumnElement, func, select

from mistudio_pipelines.defs.forgetting import forget_runs
from mistudio_pipelines.defs.history import sql_storage

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_OBSERVATION = dg.DagsterEventType.ASSET_OBSERVATION.value
_RUNLESS = ""
_ROWS_PER_STATEMENT = 500
_SECONDS_TO_WAIT_FOR_OTHERS = 30.0


@dataclass(frozen=True)
class Prunable:
    """What may go.

    Attributes:
        run_ids: Runs that ended before the time, none of which made or last tried what is current.
        observations: Notes without a run (changes of status) from before it, the newest of each partition left out.
    """

    run_ids: tuple[str, ...]
    observations: tuple[int, ...]


def find_prunable(instance: dg.DagsterInstance, before: datetime) -> Prunable:
    """Find what may go; changes nothing.

    Args:
        instance: Whose database.
        before: What ended later stays.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=_FINISHED, updated_before=before))
    kept = _current_runs(sql_storage(instance))
    ended = (record.dagster_run.run_id for record in records)
    return Prunable(tuple(run_id for run_id in ended if run_id not in kept), tuple(_old_observations(instance, before)))


def prune(instance: dg.DagsterInstance, prunable: Prunable) -> None:
    """Remove what may go; it can be cut short and repeated."""
    forget_runs(instance, prunable.run_ids)
    storage, events = sql_storage(instance), SqlEventLogStorageTable
    for start in range(0, len(prunable.observations), _ROWS_PER_STATEMENT):
        ids = prunable.observations[start : start + _ROWS_PER_STATEMENT]
        with storage.index_connection() as connection:
            times = [row[0] for row in connection.execute(select(events.c.timestamp).where(events.c.id.in_(ids)))]
            connection.execute(events.delete().where(events.c.id.in_(ids)))
        if isinstance(storage, SqliteEventLogStorage):
            # SQLite has the same events once more, in the file of "no run", under other ids.
            with storage.run_connection(_RUNLESS) as connection:
                connection.execute(events.delete().where(_is_observation() & events.c.timestamp.in_(times)))


def vacuum(home: Path) -> None:
    """Give the room of what was removed back to the disk, on SQLite; PostgreSQL does so by itself in time.

    Services may go on meanwhile; one that writes at the moment is waited for.
    """
    for path in sorted((*home.glob("history/**/*.db"), *home.glob("schedules/*.db"))):
        with closing(sqlite3.connect(path, timeout=_SECONDS_TO_WAIT_FOR_OTHERS)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _current_runs(storage: SqlEventLogStorage) -> set[str]:
    """The runs of the newest event of each kind of each partition, and of the newest result of each check."""
    events, checks = SqlEventLogStorageTable, AssetCheckExecutionsTable
    newest = (
        select(func.max(events.c.id))
        .where(events.c.asset_key.is_not(None))
        .group_by(events.c.asset_key, events.c.dagster_event_type, events.c.partition)
    )
    newest_checks = select(func.max(checks.c.id)).group_by(checks.c.asset_key, checks.c.check_name, checks.c.partition)
    with storage.index_connection() as connection:
        found = [
            *connection.execute(select(events.c.run_id).where(events.c.id.in_(newest))),
            *connection.execute(select(checks.c.run_id).where(checks.c.id.in_(newest_checks))),
        ]
    return {row[0] for row in found}


def _old_observations(instance: dg.DagsterInstance, before: datetime) -> Sequence[int]:
    events = SqlEventLogStorageTable
    newest = select(func.max(events.c.id)).where(_is_observation()).group_by(events.c.asset_key, events.c.partition)
    # Dagster's tables have times without a zone, in UTC.
    limit = before.replace(tzinfo=None)
    query = select(events.c.id).where(_is_observation(), events.c.timestamp < limit, events.c.id.not_in(newest))
    with sql_storage(instance).index_connection() as connection:
        return [row[0] for row in connection.execute(query)]


def _is_observation() -> ColumnElement[bool]:
    events = SqlEventLogStorageTable
    return (events.c.run_id == _RUNLESS) & (events.c.dagster_event_type == _OBSERVATION)
