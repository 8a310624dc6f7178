"""From rows laid out in the stream to the arrays that are written: pure functions on arrays.

What belongs here: gathering tokens, padding, masks, and which document each token came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mistudio_pipelines.tokenization.rows import NO_HEAD


@dataclass(frozen=True)
class RowFrame:
    """What every row is built into.

    Attributes:
        width: Tokens in a row, padding included, or None for rows of different length.
        prefix: uint32, put before what a row takes from the stream.
        suffix: uint32, put after it.
        pad_id: Id that fills rows up to `width`.
        pad_side: Side that is filled.
    """

    width: int | None
    prefix: np.ndarray
    suffix: np.ndarray
    pad_id: int = 0
    pad_side: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class GatheredRows:
    """Rows as flat buffers.

    Attributes:
        tokens: uint32, all rows one after the other, padding included.
        bounds: int64, one more than rows.
        mask: bool, True for tokens and False for padding; None where nothing is padded.
    """

    tokens: np.ndarray
    bounds: np.ndarray
    mask: np.ndarray | None


def gather_rows(buffer: np.ndarray, rows: np.ndarray, frame: RowFrame) -> GatheredRows:
    """Build rows from a part of the stream.

    Args:
        buffer: Part of the stream, unsigned integers.
        rows: ROW records, with positions in `buffer`.
        frame: What each row is built into.
    """
    has_head = rows["head"] != NO_HEAD
    if _is_uniform(rows, has_head, frame):
        return _gather_full(buffer, rows, has_head, int(frame.width or 0))
    contents = rows["length"].astype(np.int64)
    lengths = contents + has_head + len(frame.prefix) + len(frame.suffix)
    tokens = _interleave(buffer, rows, has_head, frame, contents, lengths)
    if frame.width is None:
        return GatheredRows(tokens, _bounds(lengths), None)
    return _pad(tokens, lengths, frame)


def _is_uniform(rows: np.ndarray, has_head: np.ndarray, frame: RowFrame) -> bool:
    if frame.width is None or len(frame.prefix) or len(frame.suffix):
        return False
    return bool((rows["length"] + has_head == frame.width).all())


def _gather_full(buffer: np.ndarray, rows: np.ndarray, has_head: np.ndarray, width: int) -> GatheredRows:
    out = np.empty((len(rows), width), np.uint32)
    for headed in (False, True):
        chosen = has_head == headed
        if not chosen.any():
            continue
        taken = width - headed
        if taken:
            windows = np.lib.stride_tricks.sliding_window_view(buffer, taken)
            # A view of all of `out` where every row is alike: nothing is copied twice.
            target = out if chosen.all() else np.empty((int(chosen.sum()), width), np.uint32)
            target[:, headed:] = windows[rows["start"][chosen]]
        else:
            target = np.empty((int(chosen.sum()), width), np.uint32)
        if headed:
            target[:, 0] = rows["head"][chosen]
        if target is not out:
            out[chosen] = target
    bounds = np.arange(len(rows) + 1, dtype=np.int64) * width
    return GatheredRows(out.reshape(-1), bounds, None)


def _bounds(lengths: np.ndarray) -> np.ndarray:
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def _interleave(
    buffer: np.ndarray,
    rows: np.ndarray,
    has_head: np.ndarray,
    frame: RowFrame,
    contents: np.ndarray,
    lengths: np.ndarray,
) -> np.ndarray:
    """Prefix, head, tokens and suffix of each row, rows one after the other."""
    begins = _bounds(lengths)[:-1]
    tokens = np.empty(int(lengths.sum()), np.uint32)
    for offset, token in enumerate(frame.prefix):
        tokens[begins + offset] = token
    content_begins = begins + len(frame.prefix)
    tokens[content_begins[has_head]] = rows["head"][has_head]
    content_begins = content_begins + has_head
    inside = np.arange(int(contents.sum())) - np.repeat(np.cumsum(contents) - contents, contents)
    tokens[np.repeat(content_begins, contents) + inside] = buffer[np.repeat(rows["start"], contents) + inside]
    for offset, token in enumerate(frame.suffix):
        tokens[content_begins + contents + offset] = token
    return tokens


def _pad(tokens: np.ndarray, lengths: np.ndarray, frame: RowFrame) -> GatheredRows:
    width = int(frame.width or 0)
    columns = np.arange(width)
    begins = np.zeros_like(lengths) if frame.pad_side == "right" else width - lengths
    mask = (columns >= begins[:, None]) & (columns < (begins + lengths)[:, None])
    out = np.full((len(lengths), width), frame.pad_id, np.uint32)
    out[mask] = tokens
    bounds = np.arange(len(lengths) + 1, dtype=np.int64) * width
    return GatheredRows(out.reshape(-1), bounds, mask.reshape(-1))


@dataclass(frozen=True)
class SourcePieces:
    """Which document each stretch of each row came from; one entry for each (row, document) that meet.

    Attributes:
        row: int64, number of the row among those asked about.
        position: int64, where the stretch begins in the row.
        length: int64, its tokens.
        sample: int64, the document's sample number.
        offset: int64, number of its first token in the document.
    """

    row: np.ndarray
    position: np.ndarray
    length: np.ndarray
    sample: np.ndarray
    offset: np.ndarray


def source_pieces(
    rows: np.ndarray,
    documents: np.ndarray,
    token_starts: np.ndarray,
    ends: np.ndarray,
    lead: np.ndarray,
) -> SourcePieces:
    """Trace rows to documents.

    Args:
        rows: ROW records.
        documents: int64, sample numbers of the documents around them, in stream order.
        token_starts: int64, where each document's own tokens begin (after its marks), same positions as `rows`.
        ends: int64, where each document ends.
        lead: int64, for each row: positions before what it takes from the stream (padding, prefix, head).
    """
    begin, end = rows["start"], rows["start"] + rows["length"]
    first = np.searchsorted(ends, begin, side="right")
    count = np.searchsorted(token_starts, end, side="left") - first
    row = np.repeat(np.arange(len(rows)), count)
    document = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    start = np.maximum(token_starts[document], begin[row])
    length = np.minimum(ends[document], end[row]) - start
    return SourcePieces(
        row=row,
        position=start - begin[row] + lead[row],
        length=length,
        sample=documents[document],
        offset=start - token_starts[document],
    )
