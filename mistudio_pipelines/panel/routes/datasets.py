"""The list of datasets, a card of it, and what takes room."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from mistudio_pipelines.api import reading
from mistudio_pipelines.api.context import ApiContext, Context
from mistudio_pipelines.api.models.datasets import Source, Status
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.panel.forms import Fields, adding_values
from mistudio_pipelines.panel.rendering import is_fragment, redirect, render
from mistudio_pipelines.panel.views.cards import BUSY, SOURCES, STATUSES, make_card
from mistudio_pipelines.panel.views.samples import page_numbers
from mistudio_pipelines.panel.views.storage import storage_bar

router = APIRouter(include_in_schema=False)

_PAGE_SIZE = 50
# What was done before a page was shown again; an address can only choose one of these sentences.
DONE = {
    "added": "The download has been started.",
    "updating": "The newest version is being fetched.",
    "newest": "It is the newest version already.",
    "deleted": "Deleted.",
    "deleting": "The deletion goes on; the datasets disappear when it has ended.",
}


@router.get("/")
async def home(request: Request) -> Response:
    """The list is where everybody begins."""
    return redirect(request, "/datasets")


@router.get("/datasets")
async def list_page(
    request: Request,
    context: Context,
    search: Annotated[str, Query(max_length=500)] = "",
    status: str = "",
    source: str = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    done: str = "",
    job: str = "",
) -> Response:
    """The list, and the form that adds to it; only the list where a part of the page is asked for."""
    values = await list_values(context, search, status, source, page)
    if is_fragment(request):
        return render(request, "list.html", **values)
    form = adding_values(Fields({}))
    return render(request, "datasets.html", form=form, plan=None, problem=None, done=DONE.get(done), job=job, **values)


async def list_values(
    context: ApiContext, search: str = "", status: str = "", source: str = "", page: int = 1
) -> dict[str, Any]:
    """What the list shows."""
    snapshot = await context.snapshots.get()
    chosen = reading.choose_datasets(
        snapshot,
        status=status if status in get_args(Status) else None,
        source=source if source in get_args(Source) else None,
        search=search,
    )
    found = reading.page_of_datasets(context.store, snapshot, chosen, page, _PAGE_SIZE)
    pages = -(-found.pagination.total // _PAGE_SIZE)
    return {
        "cards": [make_card(one) for one in found.data],
        "pagination": found.pagination,
        "pages": pages,
        "page_numbers": page_numbers(page, pages),
        "total": len(snapshot.overviews),
        "is_busy": any(one.status.status in BUSY for one in snapshot.overviews),
        "search": search,
        "status": status,
        "source": source,
        "statuses": STATUSES,
        "sources": SOURCES,
    }


@router.get("/datasets/{dataset_id}/card")
async def card(request: Request, context: Context, dataset_id: str) -> Response:
    """A dataset's card as it is now."""
    snapshot = await reading.snapshot_with(context, dataset_id)
    return render_card(request, context, snapshot, dataset_id)


def render_card(request: Request, context: ApiContext, snapshot: Any, dataset_id: str) -> Response:
    """A dataset's card."""
    shown = reading.summarize(context.store, snapshot, snapshot.by_id[dataset_id])
    return render(request, "card.html", card=make_card(shown))


@router.get("/storage")
async def storage_page(request: Request, context: Context) -> Response:
    """What every dataset takes; only the bar where a part of a page is asked for."""
    storage = await context.quickly(lambda: reading.read_storage(context))
    template = "storage_bar.html" if is_fragment(request) else "storage.html"
    return render(request, template, storage=storage, shown=storage_bar(storage))


@router.get("/dagster")
async def to_dagster(context: Context) -> Response:
    """To Dagster's own pages."""
    url = await context.slowly(context.runs.webserver)
    if url is None:
        raise MistudioError(
            ErrorCode.SERVER_UNREACHABLE,
            "Dagster is not running for this data folder.",
            "Start it with `mistudio up`, then try again.",
        )
    return RedirectResponse(url)
