"""What a person asks of the samples, and which wishes make no sense.

What belongs here: the plain values of a query and refusing them, pure. What does not: answering (`browsing.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.store.manifest import Manifest
from mistudio_pipelines.text.filtering import SampleOrder
from mistudio_pipelines.text.query import Node, parse_query

MOST_SAMPLES_PER_PAGE: Final = 1000


@dataclass(frozen=True)
class SampleQuery:
    """What samples to show.

    Attributes:
        search: A query (`query.py` tells the language), or None for all samples.
        splits: Only samples of these splits; None or empty for all.
        min_tokens: Only samples of at least so many whitespace tokens.
        max_tokens: Only samples of at most so many.
        page: From 1.
        page_size: Samples per page, 1 to 1000.
        sort: `number` (their place in the dataset), `relevance` (best hits first; needs a search), `tokens` or
            `-tokens` (shortest or longest first).
    """

    search: str | None = None
    splits: tuple[str, ...] | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    page: int = 1
    page_size: int = 50
    sort: SampleOrder = "number"


def check_query(query: SampleQuery, manifest: Manifest) -> Node | None:
    """Refuse what cannot be shown; return the parsed search, or None where nothing is searched.

    Args:
        query: What to show.
        manifest: Of the dataset.

    Raises:
        MistudioError: `invalid_query` or `unknown_split_or_config`.
    """
    unknown = sorted(set(query.splits or ()) - set(manifest.rows_by_split))
    if unknown:
        choices = ", ".join(manifest.rows_by_split)
        raise MistudioError(
            ErrorCode.UNKNOWN_SPLIT_OR_CONFIG,
            f"Dataset {manifest.dataset_id} has no split {unknown[0]!r}.",
            f"Choose from {choices}.",
            details={"splits": list(manifest.rows_by_split)},
        )
    if query.page < 1 or not 1 <= query.page_size <= MOST_SAMPLES_PER_PAGE:
        raise _invalid("Pages are numbered from 1", f"a page has 1 to {MOST_SAMPLES_PER_PAGE} samples")
    if query.sort not in get_args(SampleOrder):
        raise _invalid(f"Samples cannot be sorted by {query.sort!r}", f"choose from {', '.join(get_args(SampleOrder))}")
    searched = query.search is not None and query.search.strip() != ""
    if query.sort == "relevance" and not searched:
        raise _invalid("Only what was searched can be sorted by relevance", "sort by number or tokens, or search")
    least, most = query.min_tokens, query.max_tokens
    if least is not None and most is not None and least > most:
        raise _invalid(f"No sample has at least {least} and at most {most} tokens", "exchange the two")
    return parse_query(query.search or "") if searched else None


def _invalid(what: str, instead: str) -> MistudioError:
    return MistudioError(ErrorCode.INVALID_QUERY, f"{what}.", f"{instead[0].upper()}{instead[1:]}.")


def token_range(query: SampleQuery) -> str:
    """The wished number of tokens in words; at least one end of it must be given."""
    if query.min_tokens is not None and query.max_tokens is not None:
        return f"{query.min_tokens:,} to {query.max_tokens:,} tokens"
    if query.min_tokens is not None:
        return f"at least {query.min_tokens:,} tokens"
    return f"at most {query.max_tokens:,} tokens"
