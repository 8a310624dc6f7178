"""What is done beside the requests, every half minute: closing what belongs to deleted datasets, removing old uploads.

What belongs here: deciding which uploads nobody needs any more. What does not: datasets; Dagster looks after them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mistudio_pipelines.logs import log_event

if TYPE_CHECKING:
    from mistudio_pipelines.api.context import ApiContext

SECONDS_BETWEEN = 30.0
_SECONDS_UNTIL_ABANDONED = 3600.0


async def tidy_for_ever(context: ApiContext) -> None:
    """Tidy again and again until it is cancelled."""
    while True:
        try:
            snapshot = await context.snapshots.get()
            context.browsers.keep_only(snapshot.by_id)
            await context.quickly(lambda: remove_old_uploads(context))
        except Exception as error:  # noqa: BLE001  (a database that is away for a moment must not end it)
            log_event("not_tidied", level="warning", reason=type(error).__name__)
        await asyncio.sleep(SECONDS_BETWEEN)


def remove_old_uploads(context: ApiContext) -> list[str]:
    """Remove uploaded files that are part of a dataset by now, or that nothing will be made of; returns their ids."""
    removed = []
    for upload_id, run_id, age in context.uploads.stored():
        if not context.uploads.is_open(upload_id) and not _is_needed(context, upload_id, run_id, age):
            context.uploads.remove_file(upload_id)
            removed.append(upload_id)
    return removed


def _is_needed(context: ApiContext, upload_id: str, run_id: str | None, age: float) -> bool:
    """True while a run reads the file, or a dataset has yet to be made of it."""
    from mistudio_pipelines.store.condition import read_condition
    from mistudio_pipelines.store.records import read_all_records

    if run_id is None:
        return age < _SECONDS_UNTIL_ABANDONED
    run = context.runs.find(run_id)
    if run is not None and not run.is_finished:
        return True
    folder = str(context.uploads.folder(upload_id))
    return any(
        path.startswith(f"{folder}/") and read_condition(context.store, record.id).raw != "complete"
        for record in read_all_records(context.store)
        for path in record.paths
    )
