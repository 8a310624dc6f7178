"""The samples of a dataset: a page of them, one whole, its tokens."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from mistudio_pipelines.api import reading, reading_samples
from mistudio_pipelines.api.context import ApiContext, Context
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.panel.rendering import Page, is_fragment, redirect, render
from mistudio_pipelines.panel.views import samples as views
from mistudio_pipelines.panel.views.cards import make_card
from mistudio_pipelines.text.filtering import SampleOrder
from mistudio_pipelines.text.sample_query import SampleQuery

router = APIRouter(include_in_schema=False)

_LARGEST_NUMBER = 10**12
_MOST_PIECES = 2000


@router.get("/datasets/{dataset_id}")
async def dataset_page(request: Request, context: Context, dataset_id: str) -> Response:
    """A dataset is opened at its samples, or where it has none yet, at what is known of it."""
    snapshot = await reading.snapshot_with(context, dataset_id)
    shown = make_card(reading.summarize(context.store, snapshot, snapshot.by_id[dataset_id]))
    return redirect(request, f"/datasets/{dataset_id}/{'samples' if shown.can_open else 'provenance'}")


async def header(context: ApiContext, dataset_id: str) -> dict[str, Any]:
    """What the top of every page of a dataset shows.

    Raises:
        MistudioError: `unknown_dataset`, `invalid_id`.
    """
    snapshot = await reading.snapshot_with(context, dataset_id)
    dataset = reading.read_detail(context.store, snapshot, dataset_id)
    return {"dataset": dataset, "card": make_card(dataset)}


@router.get("/datasets/{dataset_id}/samples")
async def samples_page(
    request: Request,
    context: Context,
    dataset_id: str,
    search: Annotated[str, Query(max_length=1000)] = "",
    split: Annotated[list[str] | None, Query(max_length=100)] = None,
    min_tokens: str = "",
    max_tokens: str = "",
    sort: str = "number",
    page: Annotated[int, Query(ge=1, le=10**9)] = 1,
) -> Response:
    """A page of samples: searched, filtered, sorted."""
    known = await header(context, dataset_id)
    order: Any = sort if sort in get_args(SampleOrder) else "number"
    query = SampleQuery(
        search=search.strip() or None,
        splits=tuple(one for one in split or () if one) or None,
        min_tokens=_number(min_tokens),
        max_tokens=_number(max_tokens),
        page=page,
        page_size=views.PAGE_SIZE,
        # Without a search there is no best hit.
        sort="number" if order == "relevance" and not search.strip() else order,
    )
    values = await context.page(lambda: _find(context, known["dataset"], query))
    canonical = Page(request).url(f"/datasets/{dataset_id}/samples", **views.query_values(query))
    # Every letter that is typed changes the address, but not what "back" leads to.
    header_name = "HX-Replace-Url" if request.headers.get("HX-Trigger-Name") == "search" else "HX-Push-Url"
    if is_fragment(request):
        return render(request, "sample_results.html", headers={header_name: canonical}, **known, **values)
    return render(request, "samples.html", **known, **values)


def _number(text: str) -> int | None:
    digits = text.strip()
    return min(int(digits), _LARGEST_NUMBER) if digits.isdecimal() and len(digits) < 20 else None


def _find(context: ApiContext, dataset: Any, query: SampleQuery) -> dict[str, Any]:
    """What the page of samples shows; a question that makes no sense is said beside the search, not instead of it."""
    values: dict[str, Any] = {"query": query, "orders": views.ORDERS, "link": views.query_values, "problem": None}
    try:
        found = reading_samples.read_samples_page(context, dataset.id, query, views.PREVIEW_CHARACTERS)
    except MistudioError as error:
        nothing: dict[str, Any] = {
            "samples": [],
            "total": 0,
            "pages": 0,
            "page_numbers": [],
            "splits": [],
            "ranges": [],
        }
        return {**values, **nothing, "problem": error, "reason": None, "elapsed_ms": 0.0}
    pages = -(-found.pagination.total // query.page_size)
    return {
        **values,
        "samples": [_shown(one) for one in found.data],
        "total": found.pagination.total,
        "pages": pages,
        "page_numbers": views.page_numbers(query.page, pages),
        "reason": found.meta.removed_by,
        "elapsed_ms": found.meta.elapsed_ms,
        **_choices(context, dataset, query),
    }


def _shown(sample: Any) -> dict[str, Any]:
    pieces = [(one, views.stretches(one.text, one.highlights)) for one in sample.snippets]
    return {"sample": sample, "pieces": pieces}


def _choices(context: ApiContext, dataset: Any, query: SampleQuery) -> dict[str, list[views.Choice]]:
    """Splits and ranges with the number of samples that each would show."""
    statistics = dataset.statistics
    if statistics is None:
        return {"splits": [], "ranges": []}
    with context.browsers.open(dataset.id) as browser:
        splits = [
            views.Choice(split, browser.count(one), split in (query.splits or ()), value=split)
            for split, one in views.split_queries(query, statistics.splits).items()
        ]
        ranges = [
            views.Choice(
                views.range_label(least, most),
                browser.count(one),
                (query.min_tokens, query.max_tokens) == (least, most),
                least=least,
                most=most,
            )
            for (least, most), one in views.range_queries(query, statistics.min_tokens, statistics.max_tokens).items()
        ]
    return {"splits": splits, "ranges": ranges}


@router.get("/datasets/{dataset_id}/samples/{number}")
async def sample_page(
    request: Request,
    context: Context,
    dataset_id: str,
    number: int,
    search: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """One sample with its whole text."""
    known = await header(context, dataset_id)

    def work() -> dict[str, Any]:
        from mistudio_pipelines.tokenization.presets import list_presets

        whole = reading_samples.read_whole(context.store, dataset_id, number)
        text = (whole.text or "")[: views.LONGEST_TEXT]
        with context.browsers.open(dataset_id) as browser:
            marked = browser.highlight(text, search)
        return {
            "number": number,
            "has_text": whole.text is not None,
            "parts": views.stretches(marked.text, marked.highlights),
            "is_cut": len(text) < len(whole.text or ""),
            "length": len(whole.text or ""),
            "metadata": whole.metadata,
            "presets": [one.name for one in list_presets(context.store)],
        }

    values = await context.page(work)
    return render(request, "whole_sample.html" if is_fragment(request) else "sample.html", **known, **values)


@router.get("/datasets/{dataset_id}/samples/{number}/tokens")
async def tokens(
    request: Request, context: Context, dataset_id: str, number: int, preset: str = "", tokenizer: str = ""
) -> Response:
    """How a tokenizer cuts a sample, each token in a colour."""
    known = await header(context, dataset_id)

    def work() -> Any:
        from mistudio_pipelines.defs.resources import HuggingFaceHub
        from mistudio_pipelines.tokenization.presets import load_preset

        HuggingFaceHub().prepare(context.store)
        name, revision, secret = tokenizer.strip(), None, None
        if not name:
            saved = load_preset(context.store, preset)
            name, revision, secret = saved.tokenizer, saved.tokenizer_revision, saved.token_name
        return reading_samples.read_tokens(
            context.store, dataset_id, number, name, revision=revision, token_name=secret, limit=_MOST_PIECES
        )

    found = await context.tokenizing(work)
    template = "tokens.html" if is_fragment(request) else "tokens_page.html"
    return render(
        request, template, number=number, tokens=found, pieces=views.pieces_of_characters(found.pieces), **known
    )
