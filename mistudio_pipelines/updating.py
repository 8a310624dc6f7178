"""Updating a dataset: from its record to one that names the newest revision of its repository.

What belongs here: finding out and deciding. What does not: the download, which fetches only what changed
(`acquiring.py`), and Dagster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mistudio_pipelines.adding import AddPlan, AddRequest, plan_adding
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.records import DatasetRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from mistudio_pipelines.hub.client import HubClient


def plan_update(
    store: DataStore, record: DatasetRecord, open_client: Callable[[str | None], HubClient]
) -> AddPlan | None:
    """What updating a dataset would do; writes nothing.

    Args:
        store: The data folder.
        record: The dataset as it is.
        open_client: Makes a client of the Hub for the name of a secret.

    Returns:
        The plan, whose record keeps the id, or None where there is nothing newer.

    Raises:
        MistudioError: `invalid_config` for a dataset of local files; whatever is wrong with the newest revision; a
            dataset that holds the newest revision already under another id.
    """
    if record.source != "huggingface" or record.repository is None:
        raise MistudioError(
            ErrorCode.INVALID_CONFIG,
            f"Dataset {record.id} comes from local files, which have no newer revision.",
            "Add the changed files as a new dataset: `mistudio add PATH`.",
        )
    from mistudio_pipelines.hub.repository import newest_revision

    newest = newest_revision(open_client(record.token_name), record.repository, record.followed_revision)
    if newest == record.revision:
        return None
    request = AddRequest(
        repository=record.repository,
        config=record.config,
        splits=record.splits or (),
        revision=record.requested_revision,
        text_column=record.text_column,
        name=record.name,
        token_name=record.token_name,
        allow_large=record.allow_large,
        strict=record.strict,
        tokenizations=record.tokenizations,
    )
    plan = plan_adding(store, request, open_client)
    kept = plan.record.model_copy(update={"id": record.id, "created_at": record.created_at})
    return AddPlan(kept, plan.available_splits, plan.file_count, plan.file_format, plan.free_bytes, plan.warnings)
