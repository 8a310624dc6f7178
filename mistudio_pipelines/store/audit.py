"""The audit trail: additions, deletions and changes of status, one JSON object a line, append only.

It survives the deletion of the datasets it speaks of. It never holds a secret.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from typing import Any

from mistudio_pipelines.store.layout import DataStore


def write_audit(store: DataStore, event: str, dataset_id: str | None = None, **facts: Any) -> None:
    """Append one line.

    Args:
        store: The data folder.
        event: What happened, for example `dataset_added`.
        dataset_id: The dataset it happened to.
        **facts: Plain values.
    """
    store.audit.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, "dataset_id": dataset_id}
    payload = (json.dumps({**line, **facts}, ensure_ascii=False, default=str) + "\n").encode()
    descriptor = os.open(store.audit, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # lines of several processes do not mix
        size = os.fstat(descriptor).st_size
        # A line that a power loss cut short must not swallow this one.
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" + payload if torn else payload)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_audit(store: DataStore, dataset_id: str) -> list[dict[str, Any]]:
    """What the trail says of one dataset, oldest first. Lines that cannot be read are left out.

    Args:
        store: The data folder.
        dataset_id: The dataset.
    """
    found = []
    try:
        with store.audit.open("rb") as lines:
            for line in lines:
                if dataset_id.encode() not in line:
                    continue
                try:
                    entry = json.loads(line)
                except ValueError:  # the end of a write that was cut short
                    continue
                if isinstance(entry, dict) and entry.get("dataset_id") == dataset_id:
                    found.append(entry)
    except FileNotFoundError:
        pass
    return found
