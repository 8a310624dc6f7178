"""Samples as plain values for tools: a page of them for JSON output, metadata and GraphQL, or one of them whole."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.manifest import read_manifest

if TYPE_CHECKING:
    from mistudio_pipelines.store.layout import DataStore
    from mistudio_pipelines.text.browsing import SamplePage
    from mistudio_pipelines.text.snippets import Snippet


def page_values(page: SamplePage) -> dict[str, Any]:
    """A page as plain values; hits are marked `<mark>` in snippets, whose text is escaped."""
    return {
        "total": page.total,
        "page": page.page,
        "pages": page.pages,
        "elapsed_ms": round(page.elapsed_ms, 1),
        "removed_by": page.removed_by,
        "samples": [
            {
                "number": sample.number,
                "split": sample.split,
                "tokens": sample.tokens,
                "text": sample.text,
                "snippets": [marked_html(snippet) for snippet in sample.snippets],
                "metadata": sample.metadata,
            }
            for sample in page.samples
        ],
    }


def read_whole_sample(store: DataStore, dataset_id: str, number: int) -> tuple[dict[str, Any], str | None]:
    """One sample with all its columns.

    Args:
        store: The data folder.
        dataset_id: The dataset.
        number: The sample, from 0.

    Returns:
        Its columns by name, and its text.

    Raises:
        MistudioError: `invalid_query` where there is no such sample; `data_missing`, `data_corrupt`.
    """
    from mistudio_pipelines.text.reading import read_samples

    folder = store.raw(dataset_id)
    manifest = read_manifest(folder)
    if not 0 <= number < manifest.rows:
        raise MistudioError(
            ErrorCode.INVALID_QUERY,
            f"There is no sample {number:,}: dataset {dataset_id} has {manifest.rows:,}.",
            f"Samples are numbered from 0 to {manifest.rows - 1:,}.",
        )
    (row,) = read_samples(folder, manifest, [number]).to_pylist()
    return row, row[manifest.text_column]


def marked_html(snippet: Snippet) -> str:
    """A snippet as HTML: the text escaped, since it can be anything, each hit in `<mark>`."""
    parts, position = [], 0
    for start, end in snippet.highlights:
        parts += [escape(snippet.text[position:start]), f"<mark>{escape(snippet.text[start:end])}</mark>"]
        position = end
    return "".join([*parts, escape(snippet.text[position:])])
