"""What the audit trail says of a dataset, as lines that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mistudio_pipelines.panel.views.cards import STATUSES

_MOST_LINES = 200
_EVENTS: Mapping[str, str] = {
    "dataset_added": "Added",
    "dataset_updated": "Updated to a newer revision",
    "dataset_adopted": "Taken over from the disk",
    "tokenization_deleted": "Tokenization deleted",
}


@dataclass(frozen=True)
class HistoryLine:
    """Something that happened to a dataset.

    Attributes:
        time: When, UTC.
        label: What.
        tone: The status that it led to, or empty.
        detail: The error, or the revision.
        run_id: The run that it speaks of.
    """

    time: datetime
    label: str
    tone: str
    detail: str
    run_id: str | None


def history_lines(entries: Sequence[Mapping[str, Any]]) -> list[HistoryLine]:
    """Lines of the audit trail, newest first; what cannot be understood is left out.

    Args:
        entries: As `store.audit.read_audit` gives them.
    """
    lines = []
    for entry in entries:
        try:
            time = datetime.fromisoformat(str(entry.get("time")))
        except ValueError:
            continue
        event = str(entry.get("event", ""))
        now = str(entry.get("now", "")).partition(":")[0]
        is_status = event == "status_changed" and now in STATUSES
        label = STATUSES[now] if is_status else _EVENTS.get(event, event.replace("_", " ").capitalize())  # type: ignore[index]  # checked
        revision = entry.get("revision")
        detail = str(entry.get("error") or (f"revision {str(revision)[:12]}" if revision else ""))
        run_id = entry.get("run_id")
        lines.append(
            HistoryLine(time, label, now if is_status else "", detail, run_id if isinstance(run_id, str) else None)
        )
    return lines[::-1][:_MOST_LINES]
