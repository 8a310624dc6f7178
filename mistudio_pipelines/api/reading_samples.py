"""What is in the data of a dataset: samples, their tokens, rows of tokenizations. Every function here only reads.

Endpoints and pages call these in a thread (`ApiContext.page`; `ApiContext.tokenizing` where a tokenizer is loaded).
What belongs here: asking the Python API for texts and tokens, and cutting them to what an answer shows. What does not:
what is known about datasets without opening their data (`reading.py`), any rule about samples and rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mistudio_pipelines.api import describing
from mistudio_pipelines.api.models.common import Pagination
from mistudio_pipelines.api.models.samples import (
    SampleItem,
    SamplesMeta,
    SampleSnippet,
    SamplesPage,
    SampleTokens,
    TokenPiece,
    WholeSample,
)
from mistudio_pipelines.api.models.tokenizations import RowSource, RowToken, TokenRow
from mistudio_pipelines.errors import ErrorCode, MistudioError

if TYPE_CHECKING:
    from mistudio_pipelines.api.context import ApiContext
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.browsing import Sample
    from mistudio_pipelines.text.sample_query import SampleQuery

TOKENS_SHOWN = 20
_LONGEST_METADATA = 500
_LONGEST_WHOLE_METADATA = 100_000
_LONGEST_TOKENIZED_TEXT = 20_000


def read_samples_page(context: ApiContext, dataset_id: str, query: SampleQuery, text_limit: int) -> SamplesPage:
    """A page of samples.

    Args:
        context: Whose warm browsers are used.
        dataset_id: The dataset.
        query: What to show.
        text_limit: Most characters of each text.

    Raises:
        MistudioError: As `text.browsing.browse`.
    """
    with context.browsers.open(dataset_id) as browser:
        found = browser.browse(query)
    return SamplesPage(
        data=[_sample_item(sample, text_limit) for sample in found.samples],
        pagination=Pagination.of(query.page, query.page_size, found.total),
        meta=SamplesMeta(elapsed_ms=round(found.elapsed_ms, 1), removed_by=found.removed_by),
    )


def _sample_item(sample: Sample, text_limit: int) -> SampleItem:
    text = sample.text
    return SampleItem(
        id=sample.number,
        text=None if text is None else text[:text_limit],
        text_truncated=text is not None and len(text) > text_limit,
        tokens=[]
        if text is None
        else [one[:_LONGEST_METADATA] for one in text.split(None, TOKENS_SHOWN)][:TOKENS_SHOWN],
        token_count=sample.tokens,
        split=sample.split,
        snippets=[
            SampleSnippet(
                text=one.text,
                highlights=list(one.highlights),
                starts_inside=one.starts_inside,
                ends_inside=one.ends_inside,
            )
            for one in sample.snippets
        ],
        metadata=describing.plain_value(sample.metadata, _LONGEST_METADATA),
    )


def read_whole(store: DataStore, dataset_id: str, number: int) -> WholeSample:
    """One sample, whole.

    Raises:
        MistudioError: `not_found` where there is no such sample; `data_missing`, `data_corrupt`.
    """
    from mistudio_pipelines.store.manifest import read_manifest
    from mistudio_pipelines.text.pages import read_whole_sample

    with _missing_is_not_found():
        row, text = read_whole_sample(store, dataset_id, number)
    row.pop(read_manifest(store.raw(dataset_id)).text_column, None)
    return WholeSample(id=number, text=text, metadata=describing.plain_value(row, _LONGEST_WHOLE_METADATA))


def read_tokens(
    store: DataStore,
    dataset_id: str,
    number: int,
    tokenizer: str,
    *,
    revision: str | None = None,
    token_name: str | None = None,
    limit: int,
) -> SampleTokens:
    """The tokens that a tokenizer makes of the beginning of a sample.

    Raises:
        MistudioError: As `read_whole` and `tokenization.preview.preview_tokens`.
    """
    from mistudio_pipelines.text.pages import read_whole_sample
    from mistudio_pipelines.tokenization.preview import preview_tokens

    with _missing_is_not_found():
        _, text = read_whole_sample(store, dataset_id, number)
    shown = (text or "")[:_LONGEST_TOKENIZED_TEXT]
    pieces = preview_tokens(store, tokenizer, shown, revision=revision, token_name=token_name)
    return SampleTokens(
        tokenizer=tokenizer,
        total=len(pieces),
        text_truncated=len(shown) < len(text or ""),
        pieces=[
            TokenPiece(id=one.id, text=one.text, start=one.start, end=one.end, special=one.special)
            for one in pieces[:limit]
        ],
    )


def read_sources(store: DataStore, dataset_id: str, preset: str, split: str, row: int) -> list[RowSource]:
    """The documents that a row of tokens came from.

    Raises:
        MistudioError: `not_found` where there is no such row, `data_missing`, `data_corrupt`.
    """
    from mistudio_pipelines.tokenization.sources import sources_of_row

    with _missing_is_not_found():
        found = sources_of_row(store, dataset_id, preset, split, row)
    return [RowSource.model_validate(one, from_attributes=True) for one in found]


def read_row(store: DataStore, dataset_id: str, preset: str, split: str, row: int, limit: int) -> TokenRow:
    """A row of a tokenization, with the documents that it came from.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        preset: The preset it is tokenized with.
        split: The split.
        row: Number of the row in the split.
        limit: Most tokens that are shown.

    Raises:
        MistudioError: `not_found` where there is no such row; `data_missing`, `data_corrupt`; what loading the
            tokenizer raises.
    """
    from mistudio_pipelines.tokenization.row_preview import preview_row

    with _missing_is_not_found():
        found = preview_row(store, dataset_id, preset, split, row, limit)
    return TokenRow(
        split=split,
        row=row,
        rows=found.rows,
        length=found.length,
        tokens=[RowToken.model_validate(one, from_attributes=True) for one in found.tokens],
        sources=[RowSource.model_validate(one, from_attributes=True) for one in found.sources],
    )


@contextmanager
def _missing_is_not_found() -> Iterator[None]:
    """A number in an address that nothing has is `not_found`, not a mistake of a query."""
    try:
        yield
    except MistudioError as error:
        if error.code != ErrorCode.INVALID_QUERY:
            raise
        raise MistudioError(ErrorCode.NOT_FOUND, error.message, error.next_step, details=error.details) from error
