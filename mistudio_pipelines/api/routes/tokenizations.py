"""Presets, and the tokenizations of a dataset: list, start, estimate, rows and the documents they came from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from mistudio_pipelines.api import actions, reading, reading_samples
from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.models.common import Answer, Listing, PresetName, StartedRun
from mistudio_pipelines.api.models.tokenizations import (
    DatasetTokenization,
    EstimateRequest,
    PresetRequest,
    RowSource,
    StartRequest,
    TokenizationEstimate,
    TokenRow,
)
from mistudio_pipelines.api.routes.datasets import DatasetIdInPath
from mistudio_pipelines.defs.names import SAVE_TOKENIZATION_JOB, TOKENIZE_JOB
from mistudio_pipelines.tokenization.presets import TokenizationPreset

router = APIRouter(tags=["tokenizations"])

PresetInPath = Annotated[PresetName, Path(description="The preset.")]
SplitOfRow = Annotated[str, Query(min_length=1, max_length=255, description="The split.")]
RowNumber = Annotated[int, Query(ge=0, le=10**12, description="Row in the split, from 0.")]


@router.get("/tokenizations", responses=responses())
async def list_presets(context: Context) -> Listing[TokenizationPreset]:
    """List the saved presets."""
    from mistudio_pipelines.tokenization.presets import list_presets

    return Listing(data=await context.quickly(lambda: list_presets(context.store)))


@router.post(
    "/tokenizations",
    status_code=201,
    responses={
        **responses(404, 409, 413, 415, 503),
        202: {"model": Answer[StartedRun], "description": "It is still being validated; `GET /api/jobs/{job_id}`."},
    },
)
async def save_preset(
    context: Context, body: PresetRequest, response: Response
) -> Answer[TokenizationPreset | StartedRun]:
    """Save a preset: it is validated against its tokenizer, pinned, and never changes from then on."""
    from mistudio_pipelines.tokenization.presets import load_preset

    run_id, ended = await context.slowly(lambda: actions.save_preset(context, body.form()))
    if not ended:
        response.status_code = 202
        return Answer(data=StartedRun(job_id=run_id, job=SAVE_TOKENIZATION_JOB, message="It is being validated."))
    return Answer(data=load_preset(context.store, body.name))


@router.get("/datasets/{dataset_id}/tokenizations", responses=responses(404))
async def list_tokenizations(context: Context, dataset_id: DatasetIdInPath) -> Listing[DatasetTokenization]:
    """List the tokenizations of a dataset: finished, being made, and failed."""
    snapshot = await reading.snapshot_with(context, dataset_id)
    return Listing(data=await context.quickly(lambda: reading.read_tokenizations(context.store, snapshot, dataset_id)))


@router.post("/datasets/{dataset_id}/tokenizations", status_code=202, responses=responses(404, 409, 413, 415, 503))
async def start_tokenization(context: Context, dataset_id: DatasetIdInPath, body: StartRequest) -> Answer[StartedRun]:
    """Tokenize a dataset with a saved preset."""
    await reading.require_dataset(context, dataset_id)
    run_id = await context.slowly(lambda: actions.tokenize(context, dataset_id, body.preset))
    return Answer(data=StartedRun(job_id=run_id, job=TOKENIZE_JOB, message=f"Tokenizing with {body.preset}."))


@router.post("/datasets/{dataset_id}/tokenizations/estimate", responses=responses(404, 409, 413, 415, 503))
async def estimate_tokenizations(
    context: Context, dataset_id: DatasetIdInPath, body: EstimateRequest
) -> Listing[TokenizationEstimate]:
    """Compare tokenizers on texts of a dataset before tokenizing it. Changes nothing; takes seconds."""
    await reading.require_dataset(context, dataset_id)

    def work() -> list[Any]:
        from mistudio_pipelines.defs.resources import HuggingFaceHub
        from mistudio_pipelines.tokenization.estimate import estimate

        HuggingFaceHub().prepare(context.store)
        return estimate(context.store, dataset_id, body.tokenizers, body.context_size, token_name=body.token_name)

    found = await context.tokenizing(work)
    return Listing(data=[TokenizationEstimate.model_validate(one, from_attributes=True) for one in found])


@router.get("/datasets/{dataset_id}/tokenizations/{preset}/row", responses=responses(404, 409, 503))
async def get_row(
    context: Context,
    dataset_id: DatasetIdInPath,
    preset: PresetInPath,
    split: SplitOfRow,
    row: RowNumber,
    limit: Annotated[int, Query(ge=1, le=20_000, description="Most tokens that are shown.")] = 2000,
) -> Answer[TokenRow]:
    """Show a row of tokens as a trainer gets it: what each stands for, and which documents they came from.

    The first look loads the tokenizer, which takes seconds.
    """
    await reading.require_dataset(context, dataset_id)
    return Answer(
        data=await context.tokenizing(
            lambda: reading_samples.read_row(context.store, dataset_id, preset, split, row, limit)
        )
    )


@router.get("/datasets/{dataset_id}/tokenizations/{preset}/sources", responses=responses(404, 409))
async def get_row_sources(
    context: Context,
    dataset_id: DatasetIdInPath,
    preset: PresetInPath,
    split: SplitOfRow,
    row: RowNumber,
) -> Listing[RowSource]:
    """Say which documents a row of tokens came from, and where in them."""
    await reading.require_dataset(context, dataset_id)
    return Listing(
        data=await context.page(lambda: reading_samples.read_sources(context.store, dataset_id, preset, split, row))
    )
