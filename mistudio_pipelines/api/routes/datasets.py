"""The list of datasets, one of them, its statistics, what takes room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel

from mistudio_pipelines import __version__
from mistudio_pipelines.api import reading
from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.models.common import LARGEST_PAGE, Answer, DatasetId, Health, Paged
from mistudio_pipelines.api.models.datasets import DatasetDetail, DatasetSummary, Source, Status, Storage
from mistudio_pipelines.api.models.statistics import FullStatistics

router = APIRouter(tags=["datasets"])

DatasetIdInPath = Annotated[DatasetId, Path(description="Id of the dataset.")]
PageNumber = Annotated[int, Query(ge=1, le=10**9, description="Page, from 1.")]
PageSize = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Things per page.")]


@router.get("/datasets", responses=responses(), response_model=Paged[DatasetSummary])
async def list_datasets(
    context: Context,
    page: PageNumber = 1,
    limit: PageSize = 50,
    status: Annotated[Status | None, Query(description="Only datasets with this status.")] = None,
    source: Annotated[Source | None, Query(description="Only datasets from there.")] = None,
    search: Annotated[
        str | None, Query(max_length=500, description="Only datasets whose name, id or description contains this.")
    ] = None,
) -> Response:
    """List the datasets, most recent first, with their status and progress.

    Poll it every two seconds, or follow `GET /api/events`.
    """
    snapshot = await context.snapshots.get()

    def make() -> Paged[DatasetSummary]:
        chosen = reading.choose_datasets(snapshot, status=status, source=source, search=search)
        return reading.page_of_datasets(context.store, snapshot, chosen, page, limit)

    return json_response(snapshot.answer(("list", page, limit, status, source, search), make))


@router.get("/datasets/{dataset_id}", responses=responses(404), response_model=Answer[DatasetDetail])
async def get_dataset(context: Context, dataset_id: DatasetIdInPath) -> Response:
    """Show one dataset with all that is known of it."""
    snapshot = await reading.snapshot_with(context, dataset_id)

    def make() -> Answer[DatasetDetail]:
        return Answer(data=reading.read_detail(context.store, snapshot, dataset_id))

    return json_response(snapshot.answer(("dataset", dataset_id), make))


@router.get("/datasets/{dataset_id}/statistics", responses=responses(404, 409), response_model=Answer[FullStatistics])
async def get_statistics(context: Context, dataset_id: DatasetIdInPath) -> Response:
    """Show the statistics of a dataset; 409 while they are being made."""
    await reading.require_dataset(context, dataset_id)
    return await json_answer(
        context.quickly, lambda: Answer(data=reading.read_full_statistics(context.store, dataset_id))
    )


@router.get("/storage", tags=["storage"], responses=responses())
async def get_storage(context: Context) -> Answer[Storage]:
    """Show what every dataset takes on disk, the free space, and orphans: files that belong to nothing."""
    return Answer(data=await context.quickly(lambda: reading.read_storage(context)))


@router.get("/health", tags=["server"], responses=responses())
async def get_health(context: Context) -> Answer[Health]:
    """Say what this server is, what it may do, and whether Dagster runs."""
    from mistudio_pipelines.store.space import free_bytes

    settings = context.settings
    url = await context.slowly(context.runs.webserver)
    return Answer(
        data=Health(
            version=__version__,
            dagster_url=url,
            read_only=settings.read_only,
            local_paths=settings.local_paths,
            downloads_per_hour=settings.downloads_per_hour,
            upload_limit_bytes=settings.upload_limit_bytes,
            free_bytes=free_bytes(context.store.root),
        )
    )


async def json_answer(
    in_thread: Callable[[Callable[[], bytes]], Awaitable[bytes]], make: Callable[[], BaseModel]
) -> Response:
    """The answer that a function makes, also turned into JSON in its thread: the event loop stays free for others.

    Args:
        in_thread: Of the context, for example `context.page`.
        make: Makes the answer.
    """
    return json_response(await in_thread(lambda: make().model_dump_json().encode()))


def json_response(content: bytes) -> Response:
    """JSON that is made already."""
    return Response(content, media_type="application/json")
