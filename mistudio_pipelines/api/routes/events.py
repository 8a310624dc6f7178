"""Progress as server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from mistudio_pipelines.api import reading
from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.events import follow
from mistudio_pipelines.api.models.common import DatasetId

router = APIRouter(tags=["events"])

_EXAMPLE = 'event: dataset\ndata: {"id":"ds_tinystories_a1b2c3","status":"downloading","progress":45.2, …}\n\n'


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        **responses(404, 409),
        200: {
            "description": "Events without end: `dataset` with a line of the list (`DatasetSummary`), `removed` with "
            "an id. First comes what is being worked on now, then every change, at most once a second.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
    },
)
async def follow_events(
    context: Context,
    dataset_id: Annotated[DatasetId | None, Query(description="Only events of this dataset.")] = None,
) -> StreamingResponse:
    """Follow what happens to datasets. Polling `GET /api/datasets` tells the same."""
    if dataset_id is not None:
        await reading.snapshot_with(context, dataset_id)
    context.streams.admit()
    headers = {"x-accel-buffering": "no"}  # nginx would hold events back until its buffer is full
    return StreamingResponse(follow(context, dataset_id), media_type="text/event-stream", headers=headers)
