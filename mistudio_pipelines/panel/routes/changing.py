"""Buttons: retry, cancel, update, delete. All go through the same functions as the API's endpoints."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mistudio_pipelines.api import reading
from mistudio_pipelines.api.context import ApiContext, Context
from mistudio_pipelines.api.models.datasets import DeletionRequest
from mistudio_pipelines.api.routes.changing import (
    cancel_dataset,
    delete_datasets,
    plan_deletions,
    retry_dataset,
    update_dataset,
)
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.panel.forms import Fields, Form
from mistudio_pipelines.panel.rendering import is_fragment, redirect, render
from mistudio_pipelines.panel.routes.adding import make_body
from mistudio_pipelines.panel.routes.datasets import render_card

router = APIRouter(include_in_schema=False)


@router.post("/datasets/{dataset_id}/retry")
async def retry(request: Request, context: Context, dataset_id: str, fields: Form) -> Response:
    """Continue what failed."""
    await retry_dataset(context, dataset_id)
    return await _as_it_is_now(request, context, dataset_id, fields)


@router.post("/datasets/{dataset_id}/cancel")
async def cancel(request: Request, context: Context, dataset_id: str, fields: Form) -> Response:
    """End what is being done."""
    await cancel_dataset(context, dataset_id)
    return await _as_it_is_now(request, context, dataset_id, fields)


@router.post("/datasets/{dataset_id}/update")
async def update(request: Request, context: Context, dataset_id: str) -> Response:
    """Fetch the newest version of a dataset of the Hub, where there is a newer one."""
    outcome = (await update_dataset(context, dataset_id, Response())).data
    if not is_fragment(request):
        return redirect(request, "/datasets", done="newest" if outcome.job_id is None else "updating")
    snapshot = await reading.snapshot_with(context, dataset_id)
    if outcome.job_id is not None:
        return render_card(request, context, snapshot, dataset_id)
    message = f"{snapshot.by_id[dataset_id].record.name} is the newest version already."
    headers = {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML"}
    return render(request, "notice.html", headers=headers, tone="info", message=message, next_step="")


async def _as_it_is_now(request: Request, context: ApiContext, dataset_id: str, fields: Fields) -> Response:
    """The card where the button was in one, else the page that the button was on."""
    if is_fragment(request):
        snapshot = await reading.snapshot_with(context, dataset_id)
        return render_card(request, context, snapshot, dataset_id)
    back = fields.text("back")
    tabs = ("samples", "statistics", "tokenizations", "provenance")
    return redirect(request, f"/datasets/{dataset_id}/{back}" if back in tabs else "/datasets")


@router.get("/deletions")
async def ask_before_deleting(
    request: Request,
    context: Context,
    dataset_id: Annotated[list[str] | None, Query(max_length=1000)] = None,
    tokenization: str = "",
) -> Response:
    """Ask whether to delete: names, bytes, and who uses them."""
    if not dataset_id:
        raise MistudioError(ErrorCode.VALIDATION_ERROR, "No dataset is chosen.", "Tick datasets in the list first.")
    plans = (await plan_deletions(context, dataset_id, tokenization or None)).data
    values: dict[str, Any] = {
        "plans": plans,
        "tokenization": tokenization,
        "bytes": sum(one.freed_bytes for one in plans),
        "is_used": any(one.used_by for one in plans),
        "is_worked_on": any(one.active_job_ids for one in plans),
    }
    return render(request, "deletion.html" if is_fragment(request) else "deletion_page.html", **values)


@router.post("/deletions")
async def delete(request: Request, context: Context, fields: Form) -> Response:
    """Delete what was confirmed."""
    values = {
        "dataset_ids": fields.texts("dataset_id"),
        "confirm": fields.texts("confirm"),
        "tokenization": fields.optional("tokenization"),
        "cancel_runs": fields.is_checked("cancel_runs"),
    }
    body = make_body(DeletionRequest, values)
    outcome = Response()
    await delete_datasets(context, body, outcome)
    if body.tokenization is not None:
        return redirect(request, f"/datasets/{body.dataset_ids[0]}/tokenizations")
    return redirect(request, "/datasets", done="deleting" if outcome.status_code == 202 else "deleted")
