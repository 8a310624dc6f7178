"""What is known of a dataset: its statistics, and where it comes from."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from mistudio_pipelines.api import reading
from mistudio_pipelines.api.context import ApiContext, Context
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.panel.rendering import render
from mistudio_pipelines.panel.routes.samples import header
from mistudio_pipelines.panel.views.history import history_lines
from mistudio_pipelines.panel.views.statistics import make_charts, quality, word_shares

router = APIRouter(include_in_schema=False)

_MOST_FILES = 200
_MOST_RUNS = 50


@router.get("/datasets/{dataset_id}/statistics")
async def statistics_page(request: Request, context: Context, dataset_id: str) -> Response:
    """Numbers, charts and words."""
    known = await header(context, dataset_id)
    try:
        statistics = await context.quickly(lambda: reading.read_full_statistics(context.store, dataset_id))
    except MistudioError as problem:
        return render(request, "statistics.html", statistics=None, problem=problem, **known)
    return render(
        request,
        "statistics.html",
        problem=None,
        statistics=statistics,
        charts=make_charts(statistics),
        words=word_shares(statistics),
        quality=quality(statistics.total),
        **known,
    )


@router.get("/datasets/{dataset_id}/provenance")
async def provenance_page(request: Request, context: Context, dataset_id: str) -> Response:
    """Revision, hashes, licence, history, and the way into Dagster."""
    known = await header(context, dataset_id)
    url = await context.slowly(context.runs.webserver)
    values = await context.quickly(lambda: _provenance(context, dataset_id))
    return render(request, "provenance.html", dagster=url, **known, **values)


def _provenance(context: ApiContext, dataset_id: str) -> dict[str, Any]:
    from huggingface_hub import constants

    from mistudio_pipelines.defs.deletion import runs_of_dataset
    from mistudio_pipelines.store.audit import read_audit
    from mistudio_pipelines.store.manifest import read_manifest

    try:
        manifest = read_manifest(context.store.raw(dataset_id))
    except MistudioError:
        manifest = None  # it is not there yet, or damaged: the status says so
    runs = sorted(runs_of_dataset(context.instance, dataset_id), key=lambda run: run.run_id)
    return {
        "manifest": manifest,
        "files": () if manifest is None else manifest.files[:_MOST_FILES],
        "history": history_lines(read_audit(context.store, dataset_id)),
        "runs": runs[:_MOST_RUNS],
        "hub": constants.ENDPOINT,
    }
