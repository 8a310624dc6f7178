"""The tokenizations of a dataset: made, being made, compared before they are made, and looked into."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import status_of
from mistudio_pipelines.api.models.tokenizations import EstimateRequest, PresetRequest, StartRequest
from mistudio_pipelines.api.routes import tokenizations as api
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.panel.forms import Fields, Form
from mistudio_pipelines.panel.rendering import is_fragment, redirect, render
from mistudio_pipelines.panel.routes.adding import make_body
from mistudio_pipelines.panel.routes.samples import header
from mistudio_pipelines.panel.views.tokenizations import TONES, WORKING, preset_values, startable, tokenizer_names

router = APIRouter(include_in_schema=False)

_MOST_TOKENS = 4096


@router.get("/datasets/{dataset_id}/tokenizations")
async def tokenizations_page(request: Request, context: Context, dataset_id: str) -> Response:
    """What the dataset is tokenized with; only the list where a part of the page is asked for."""
    return await _page(request, context, dataset_id)


async def _page(
    request: Request,
    context: Context,
    dataset_id: str,
    problem: MistudioError | None = None,
    form: Fields | None = None,
    place: str = "",
) -> Response:
    known = await header(context, dataset_id)
    made = (await api.list_tokenizations(context, dataset_id)).data
    presets = (await api.list_presets(context)).data
    values: dict[str, Any] = {
        "made": made,
        "is_working": any(one.state in WORKING for one in made),
        "working": WORKING,
        "tones": TONES,
        "presets": presets,
        "startable": startable(presets, made),
        "form": form or Fields({}),
        "problem": problem,
        "place": place,
    }
    template = "tokenization_list.html" if is_fragment(request) and problem is None else "tokenizations.html"
    return render(request, template, 200 if problem is None else status_of(problem), **known, **values)


@router.post("/datasets/{dataset_id}/tokenizations")
async def start(request: Request, context: Context, dataset_id: str, fields: Form) -> Response:
    """Tokenize with a saved preset."""
    try:
        await api.start_tokenization(context, dataset_id, make_body(StartRequest, {"preset": fields.text("preset")}))
    except MistudioError as problem:
        return await _page(request, context, dataset_id, problem, fields, "start")
    return redirect(request, f"/datasets/{dataset_id}/tokenizations")


@router.post("/datasets/{dataset_id}/presets")
async def save(request: Request, context: Context, dataset_id: str, fields: Form) -> Response:
    """Save a preset, and tokenize with it where that was asked for too."""
    try:
        body = make_body(PresetRequest, preset_values(fields))
        outcome = Response()
        await api.save_preset(context, body, outcome)
        if fields.is_checked("start") and outcome.status_code != 202:
            await api.start_tokenization(context, dataset_id, make_body(StartRequest, {"preset": body.name}))
    except MistudioError as problem:
        return await _page(request, context, dataset_id, problem, fields, "save")
    return redirect(request, f"/datasets/{dataset_id}/tokenizations")


@router.get("/datasets/{dataset_id}/estimate")
async def compare(
    request: Request,
    context: Context,
    dataset_id: str,
    tokenizers: Annotated[str, Query(max_length=3000)] = "",
    context_size: Annotated[str, Query(max_length=10)] = "",
    token_name: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """What tokenizing with some tokenizers would give; changes nothing."""
    known = await header(context, dataset_id)
    values = {
        "tokenizers": tokenizer_names(tokenizers),
        "context_size": context_size.strip() or None,
        "token_name": token_name.strip() or None,
    }
    body = make_body(EstimateRequest, values)
    found = (await api.estimate_tokenizations(context, dataset_id, body)).data
    template = "estimates.html" if is_fragment(request) else "estimates_page.html"
    return render(request, template, estimates=found, **known)


@router.get("/datasets/{dataset_id}/tokenizations/{preset}")
async def row_page(
    request: Request,
    context: Context,
    dataset_id: str,
    preset: str,
    split: Annotated[str, Query(max_length=255)] = "",
    row: Annotated[int, Query(ge=0, le=10**12)] = 0,
) -> Response:
    """One row of a tokenization: its tokens, and the documents they came from."""
    from mistudio_pipelines.store.ids import check_preset_name
    from mistudio_pipelines.tokenization.proof import read_tokenization

    known = await header(context, dataset_id)
    tokenization = await context.quickly(
        lambda: read_tokenization(context.store, dataset_id, check_preset_name(preset))
    )
    splits = tokenization.rows_by_split
    chosen = split or next(iter(splits), "")
    found = (await api.get_row(context, dataset_id, preset, chosen, row, _MOST_TOKENS)).data
    return render(request, "row.html", preset=preset, splits=splits, found=found, **known)
