"""The audit trail: additions, deletions and changes of status, one JSON object a line, append only.

It survives the deletion of the datasets it speaks of. It never holds a secret.
"""

from __future__ import annotations

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
    # One write call in append mode: lines of several processes do not mix.
    descriptor = os.open(store.audit, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, payload)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
