"""The page of samples: the question as an address, splits and ranges to choose from, texts cut at their highlights.

What belongs here: pure values. What does not: searching (`text/browsing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mistudio_pipelines.api.models.samples import TokenPiece
from mistudio_pipelines.text.sample_query import SampleQuery

PAGE_SIZE: Final = 50
PREVIEW_CHARACTERS: Final = 200
LONGEST_TEXT: Final = 200_000
MOST_SPLITS: Final = 12
ORDERS: Final[Mapping[str, str]] = {
    "number": "Order of the dataset",
    "relevance": "Best hits first",
    "tokens": "Shortest first",
    "-tokens": "Longest first",
}
_RANGE_ENDS: Final = (0, 100, 500, 1000, 5000)


@dataclass(frozen=True)
class Stretch:
    """A part of a text.

    Attributes:
        text: The part.
        is_hit: It is what was searched.
    """

    text: str
    is_hit: bool


@dataclass(frozen=True)
class Choice:
    """A split or a range that can be chosen.

    Attributes:
        value: Of the split; empty for ranges.
        label: As people read it.
        least: First number of tokens, for ranges.
        most: Last number of tokens, for ranges.
        count: Samples that would be shown with it.
        is_chosen: It is chosen now.
    """

    label: str
    count: int
    is_chosen: bool
    value: str = ""
    least: int | None = None
    most: int | None = None


def pieces_of_characters(pieces: Sequence[TokenPiece]) -> list[tuple[TokenPiece, bool]]:
    """Tokens of a text, each with whether it is a further part of the characters that the token before it stands for.

    Tokenizers of bytes cut a character into several tokens, all of which stand for the whole of it.
    """
    shown: list[tuple[TokenPiece, bool]] = []
    before: tuple[int | None, int | None] | None = None
    for piece in pieces:
        place = (piece.start, piece.end)
        shown.append((piece, place == before and bool(piece.text) and not piece.special))
        before = place
    return shown


def query_values(query: SampleQuery) -> dict[str, Any]:
    """A query as the parts of an address; what is as usual is left out."""
    return {
        "search": query.search,
        "split": list(query.splits or ()),
        "min_tokens": query.min_tokens,
        "max_tokens": query.max_tokens,
        "sort": None if query.sort == "number" else query.sort,
        "page": None if query.page == 1 else query.page,
    }


def split_queries(query: SampleQuery, splits: Iterable[str]) -> dict[str, SampleQuery]:
    """For each split what would be shown with it alone."""
    return {split: replace(query, splits=(split,), page=1) for split in list(splits)[:MOST_SPLITS]}


def range_queries(query: SampleQuery, least: int, most: int) -> dict[tuple[int, int | None], SampleQuery]:
    """For each usual range of tokens what would be shown with it.

    Args:
        query: What is shown now.
        least: Tokens of the shortest sample.
        most: Tokens of the longest.
    """
    return {ends: replace(query, min_tokens=ends[0], max_tokens=ends[1], page=1) for ends in usual_ranges(least, most)}


def usual_ranges(least: int, most: int) -> list[tuple[int, int | None]]:
    """Ranges of tokens that hold samples: `0-99`, `100-499`, … and one without an end.

    Where all samples lie in one of them there is nothing to choose, and no range.
    """
    ranges: list[tuple[int, int | None]] = []
    for place, start in enumerate(_RANGE_ENDS):
        end = _RANGE_ENDS[place + 1] - 1 if place + 1 < len(_RANGE_ENDS) else None
        if start <= most and (end is None or end >= least):
            ranges.append((start, end))
    return ranges if len(ranges) > 1 else []


def range_label(least: int, most: int | None) -> str:
    """A range as people read it."""
    return f"{least:,}+" if most is None else f"{least:,}–{most:,}"


def stretches(text: str, highlights: Sequence[tuple[int, int]]) -> list[Stretch]:
    """A text cut where its highlights begin and end.

    Args:
        text: The text.
        highlights: Ranges of characters, ascending and apart.
    """
    parts: list[Stretch] = []
    position = 0
    for start, end in highlights:
        parts += [Stretch(text[position:start], False), Stretch(text[start:end], True)]
        position = end
    parts.append(Stretch(text[position:], False))
    return [part for part in parts if part.text]


def page_numbers(page: int, pages: int) -> list[int | None]:
    """Pages to offer: the first, the last, those around this one; None where some are left out."""
    wanted = sorted({1, pages, *range(max(1, page - 1), min(pages, page + 1) + 1)})
    shown: list[int | None] = []
    for number in wanted:
        if shown and shown[-1] is not None and number - shown[-1] == 2:
            shown.append(number - 1)
        elif shown and shown[-1] is not None and number - shown[-1] > 2:
            shown.append(None)
        shown.append(number)
    return shown
