"""Changes of status, noted when they are seen: in the audit trail, in the log, and as observations on the asset `raw`.

What belongs here: comparing what is with what was noted last. What does not: the status itself, which is always
derived (`status.py`); nothing that is noted here is ever shown as the status.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from mistudio_pipelines.defs.history import RAW
from mistudio_pipelines.defs.partitions import DATASETS
from mistudio_pipelines.defs.status import DatasetOverview
from mistudio_pipelines.defs.status_rule import DatasetStatus
from mistudio_pipelines.logs import log_event
from mistudio_pipelines.store.audit import write_audit
from mistudio_pipelines.store.layout import DataStore

STATUS_CHANGED = "status_changed"


def status_label(status: DatasetStatus) -> str:
    """What makes a status another: its word, and for errors their code; not its progress."""
    return f"{status.status}: {status.error_code}" if status.error_code else status.status


class TransitionLog:
    """Notes changes of status; one of it serves every data folder of a process.

    After a start it reads what it noted last from the audit trail, so that a change is noted once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, dict[str, str]] = {}

    def note(
        self, instance: dg.DagsterInstance, store: DataStore, overviews: Sequence[DatasetOverview]
    ) -> list[tuple[str, str | None, str]]:
        """Note what has changed since the last call.

        Args:
            instance: Where observations go.
            store: Where the audit trail is.
            overviews: Every dataset as it is now.

        Returns:
            Each change: dataset id, label before (None for the first), label now.
        """
        with self._lock:
            known = self._known.get(store.audit)
            if known is None:
                known = self._known[store.audit] = read_last_labels(store)
            changes = []
            for overview in overviews:
                dataset_id, label = overview.record.id, status_label(overview.status)
                before = known.get(dataset_id)
                if label != before:
                    _write(instance, store, overview, before, label)
                    known[dataset_id] = label
                    changes.append((dataset_id, before, label))
            present = {overview.record.id for overview in overviews}
            for gone in known.keys() - present:
                del known[gone]
            return changes


def read_last_labels(store: DataStore) -> dict[str, str]:
    """The label that was noted last for each dataset that was not deleted since."""
    labels: dict[str, str] = {}
    try:
        with store.audit.open("rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except ValueError:  # the end of a write that was cut short
                    continue
                if not isinstance(entry, dict):
                    continue
                if entry.get("event") == STATUS_CHANGED:
                    labels[str(entry.get("dataset_id"))] = str(entry.get("now"))
                elif entry.get("event") == "dataset_deleted":
                    labels.pop(str(entry.get("dataset_id")), None)
    except FileNotFoundError:
        pass
    return labels


def _write(
    instance: dg.DagsterInstance, store: DataStore, overview: DatasetOverview, before: str | None, now: str
) -> None:
    """Note one change. A full disk must not keep the sensor from its work, so what cannot be written is let go."""
    status, dataset_id = overview.status, overview.record.id
    facts: dict[str, Any] = {"before": before, "now": now, "error_code": status.error_code, "run_id": status.run_id}
    log_event(STATUS_CHANGED, dataset_id=dataset_id, operation="status", **facts)
    try:
        write_audit(store, STATUS_CHANGED, dataset_id, name=overview.record.name, error=status.error, **facts)
        # Not for a dataset that was deleted since we looked: nobody would remove the observation again.
        if instance.has_dynamic_partition(str(DATASETS.name), dataset_id):
            metadata = {"status": status.status, "before": before or "", "error": status.error or ""}
            instance.report_runless_asset_event(
                dg.AssetObservation(RAW, partition=dataset_id, description=f"Status: {now}", metadata=metadata)
            )
    except (OSError, dg.DagsterError) as error:
        log_event("not_noted", level="warning", dataset_id=dataset_id, operation="status", reason=str(error))
