"""Samples: pages of them, one whole, its tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from mistudio_pipelines.api import reading, reading_samples
from mistudio_pipelines.api.context import Context
from mistudio_pipelines.api.errors import responses
from mistudio_pipelines.api.models.common import Answer, PresetName, SecretName
from mistudio_pipelines.api.models.samples import SamplesPage, SampleTokens, WholeSample
from mistudio_pipelines.api.routes.datasets import DatasetIdInPath, PageNumber, PageSize, json_answer
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.text.filtering import SampleOrder

router = APIRouter(tags=["samples"])

_LARGEST_NUMBER = 10**12
TEXT_LIMIT = 2000
LARGEST_TEXT_LIMIT = 100_000

SampleNumber = Annotated[int, Path(ge=0, le=_LARGEST_NUMBER, description="Number of the sample, from 0.")]
TokenCount = Annotated[int | None, Query(ge=0, le=_LARGEST_NUMBER)]


@router.get("/datasets/{dataset_id}/samples", responses=responses(404, 409), response_model=SamplesPage)
async def list_samples(
    context: Context,
    dataset_id: DatasetIdInPath,
    page: PageNumber = 1,
    limit: PageSize = 50,
    split: Annotated[
        list[str] | None, Query(max_length=100, description="Only samples of this split; may be repeated.")
    ] = None,
    search: Annotated[
        str | None,
        Query(max_length=1000, description='Words, "exact phrases", prefix*, AND, OR, NOT, parentheses.'),
    ] = None,
    min_tokens: Annotated[TokenCount, Query(description="Only samples of at least so many whitespace tokens.")] = None,
    max_tokens: Annotated[TokenCount, Query(description="Only samples of at most so many.")] = None,
    sort: Annotated[
        SampleOrder,
        Query(description="Place in the dataset, best hits first (needs a search), shortest first, longest first."),
    ] = "number",
    text_limit: Annotated[
        int, Query(ge=0, le=LARGEST_TEXT_LIMIT, description="Most characters of each text.")
    ] = TEXT_LIMIT,
) -> Response:
    """Look through the samples of a dataset: search, filter, page."""
    from mistudio_pipelines.text.sample_query import SampleQuery

    query = SampleQuery(
        search=search or None,
        splits=tuple(split) if split else None,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        page=page,
        page_size=limit,
        sort=sort,
    )
    await reading.require_dataset(context, dataset_id)
    return await json_answer(
        context.page, lambda: reading_samples.read_samples_page(context, dataset_id, query, text_limit)
    )


@router.get("/datasets/{dataset_id}/samples/{number}", responses=responses(404, 409))
async def get_sample(context: Context, dataset_id: DatasetIdInPath, number: SampleNumber) -> Answer[WholeSample]:
    """Show one sample with its whole text and all its columns."""
    await reading.require_dataset(context, dataset_id)
    return Answer(data=await context.page(lambda: reading_samples.read_whole(context.store, dataset_id, number)))


@router.get("/datasets/{dataset_id}/samples/{number}/tokens", responses=responses(404, 409, 503))
async def get_tokens(
    context: Context,
    dataset_id: DatasetIdInPath,
    number: SampleNumber,
    preset: Annotated[PresetName | None, Query(description="A saved preset, whose tokenizer is used.")] = None,
    tokenizer: Annotated[
        str | None,
        Query(min_length=1, max_length=500, description="Instead of a preset: id of a model on the Hub, or a folder."),
    ] = None,
    token_name: Annotated[
        SecretName | None, Query(description="NAME of the secret to use for the tokenizer, never a token.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=20_000, description="Most tokens that are shown.")] = 2000,
) -> Answer[SampleTokens]:
    """Show how a tokenizer cuts a sample into tokens; the first look at a tokenizer loads it, which takes seconds."""
    await reading.require_dataset(context, dataset_id)
    if (preset is None) == (tokenizer is None):
        raise MistudioError(
            ErrorCode.INVALID_CONFIG, "Name either a preset or a tokenizer.", "For example ?preset=gpt2-1024."
        )

    def work() -> SampleTokens:
        from mistudio_pipelines.tokenization.presets import load_preset

        if preset is not None:
            saved = load_preset(context.store, preset)
            name, revision, secret = saved.tokenizer, saved.tokenizer_revision, saved.token_name
        else:
            name, revision, secret = str(tokenizer), None, token_name
        return reading_samples.read_tokens(
            context.store, dataset_id, number, name, revision=revision, token_name=secret, limit=limit
        )

    return Answer(data=await context.tokenizing(work))
