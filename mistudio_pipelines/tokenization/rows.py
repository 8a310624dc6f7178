"""Where rows begin and end in the stream of tokens: pure functions, no files, no tokenizer.

A *stream* is all documents of a split one after the other, each led by its marks: the separator and the token that
begins a sequence, where they are asked for and the document does not begin with them. A *row* is a stretch of the
stream, led by a head token where one is asked for and the stretch does not begin with it.

The policy of packed rows is that of SAELens (its documentation, "Pretokenizing datasets"): a row begins with the
begin-of-batch token, a document with the begin-of-sequence token, a document that does not begin a row with the
separator; none is doubled. Unlike there, the stream never breaks between batches of documents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_HEAD = -1
# start: position in the stream; length: tokens taken from it; head: id put before them, or NO_HEAD.
ROW = np.dtype([("start", "<i8"), ("length", "<i4"), ("head", "<i4")])

_NOTHING, _SEPARATOR, _HEAD = 0, 1, 2


@dataclass(frozen=True)
class Marks:
    """Positions in a stretch of the stream that decide about the rows; all sorted, relative to its begin.

    Attributes:
        separators: Separators that were put in.
        begins: Begin-of-sequence tokens that were put in.
        heads: Other positions that hold the begin-of-batch token already.
    """

    separators: np.ndarray
    begins: np.ndarray
    heads: np.ndarray


@dataclass(frozen=True)
class MarkedDocuments:
    """Documents as a stretch of the stream.

    Attributes:
        stream: uint32, marks and tokens.
        starts: int64, where each document begins (its marks included), one for each document.
        marks: Positions that decide about the rows.
    """

    stream: np.ndarray
    starts: np.ndarray
    marks: Marks


def mark_documents(
    ids: np.ndarray, bounds: np.ndarray, *, separator: int | None, begin: int | None, head: int | None
) -> MarkedDocuments:
    """Put separators and begin-of-sequence tokens before documents that do not begin with them.

    Args:
        ids: uint32, the documents' tokens, one document after the other.
        bounds: int64, one more than documents; no document is empty.
        separator: Id between documents, or None.
        begin: Id that begins each document, or None.
        head: Id that begins each row, or None; only looked for.
    """
    starts, lengths = bounds[:-1], np.diff(bounds)
    first = ids[starts] if len(starts) else ids[:0]
    has_begin = (first != begin) if begin is not None else np.zeros(len(first), bool)
    if separator is None:
        has_separator = np.zeros(len(first), bool)
    else:
        effective_first = np.where(has_begin, begin if begin is not None else 0, first)
        has_separator = effective_first != separator
    extra = has_separator.astype(np.int64) + has_begin
    document_starts = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(lengths + extra, out=document_starts[1:])
    separators = document_starts[:-1][has_separator]
    begins = (document_starts[:-1] + has_separator)[has_begin]
    if not len(separators) and not len(begins):
        stream = ids
    else:
        stream = np.empty(int(document_starts[-1]), ids.dtype)
        is_token = np.ones(len(stream), bool)
        is_token[separators] = False
        is_token[begins] = False
        stream[is_token] = ids
        if separator is not None:
            stream[separators] = separator
        if begin is not None:
            stream[begins] = begin
    heads = np.flatnonzero(stream == head) if head is not None else np.zeros(0, np.int64)
    if len(heads) and len(separators):
        heads = np.setdiff1d(heads, separators, assume_unique=True)
    return MarkedDocuments(stream, document_starts[:-1], Marks(separators, begins, heads))


def _flags(marks: Marks, length: int) -> bytes:
    flags = np.zeros(length, np.uint8)
    flags[marks.heads] = _HEAD
    flags[marks.separators] = _SEPARATOR
    return flags.tobytes()


@dataclass(frozen=True)
class PackedStretch:
    """Rows that begin in one stretch of the stream.

    Attributes:
        rows: ROW records; positions count from the begin of the whole stream.
        next_start: Where the next row begins, in the whole stream.
        skipped_separators: Separators left out because a row begins at them.
        finished: True where the rest of the stream does not fill a row.
    """

    rows: np.ndarray
    next_start: int
    skipped_separators: int
    finished: bool


def pack_stretch(
    marks: Marks, base: int, length: int, total: int, *, next_start: int, context_size: int, head: int | None
) -> PackedStretch:
    """Lay out the rows that begin in one stretch; going through all stretches in order lays out the stream.

    Args:
        marks: The stretch's positions.
        base: Where the stretch begins in the whole stream.
        length: Its length.
        total: Length of the whole stream.
        next_start: Where the next row begins, in the whole stream.
        context_size: Tokens in a row.
        head: Id that begins each row, or None.
    """
    if head is None and not len(marks.separators):
        count = max(0, (min(base + length, total - context_size + 1) - next_start + context_size - 1) // context_size)
        rows = np.zeros(count, ROW)
        rows["start"] = next_start + np.arange(count, dtype=np.int64) * context_size
        rows["length"] = context_size
        rows["head"] = NO_HEAD
        after = next_start + count * context_size
        return PackedStretch(rows, after, 0, after + context_size > total)
    return _walk(_flags(marks, length), base, length, total, next_start, context_size, head)


def _walk(
    flags: bytes, base: int, length: int, total: int, next_start: int, context_size: int, head: int | None
) -> PackedStretch:
    starts: list[int] = []
    lengths: list[int] = []
    skipped = 0
    position = next_start
    with_head = context_size - 1 if head is not None else context_size
    finished = False
    while position < base + length:
        start = position
        flag = flags[start - base]
        if flag == _SEPARATOR:
            # A separator is never the last of its stretch: its document follows.
            start += 1
            flag = flags[start - base]
        take = context_size if flag == _HEAD else with_head
        if start + take > total:
            finished = True
            break
        skipped += start - position
        starts.append(start)
        lengths.append(take)
        position = start + take
    rows = np.zeros(len(starts), ROW)
    rows["start"] = starts
    rows["length"] = lengths
    rows["head"] = NO_HEAD
    if head is not None:
        rows["head"][rows["length"] == context_size - 1] = head
    return PackedStretch(rows, position, skipped, finished or position >= total)


@dataclass(frozen=True)
class DocumentRows:
    """Rows that hold one document each.

    Attributes:
        rows: ROW records; positions count from the begin of the stretch.
        repeated: Tokens that are in two rows because of the stride.
        truncated: Tokens of long documents that are in no row.
        dropped: Tokens of short documents, and of last parts that fill no row.
    """

    rows: np.ndarray
    repeated: int
    truncated: int
    dropped: int


def window_documents(
    starts: np.ndarray, lengths: np.ndarray, *, room: int | None, stride: int, split: bool, keep_end: bool
) -> DocumentRows:
    """Rows of at most `room` tokens from one document each (mode padded).

    The windows of a split document are those of the `tokenizers` library: each begins `room - stride` after the last
    one, and the first that reaches the document's end is the last.

    Args:
        starts: int64, where documents begin in the stretch.
        lengths: int64, their tokens; at least 1.
        room: Most tokens of a document in a row, or None for no limit.
        stride: Tokens that consecutive windows have in common.
        split: True to go on in further rows, False to drop the rest of a long document.
        keep_end: True where a truncated document keeps its end instead of its begin.
    """
    if room is None:
        return DocumentRows(_make_rows(starts, lengths), 0, 0, 0)
    if not split:
        taken = np.minimum(lengths, room)
        begin = starts + (lengths - taken) if keep_end else starts
        return DocumentRows(_make_rows(begin, taken), 0, int((lengths - taken).sum()), 0)
    step = room - stride
    windows = np.where(lengths <= room, 1, 1 + -(-(lengths - room) // step))
    document = np.repeat(np.arange(len(starts)), windows)
    number = np.arange(len(document)) - np.repeat(np.cumsum(windows) - windows, windows)
    taken = np.minimum(room, lengths[document] - number * step)
    rows = _make_rows(starts[document] + number * step, taken)
    return DocumentRows(rows, int(taken.sum() - lengths.sum()), 0, 0)


def _make_rows(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    rows = np.zeros(len(starts), ROW)
    rows["start"] = starts
    rows["length"] = lengths
    rows["head"] = NO_HEAD
    return rows


def fill_documents(
    stream: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    *,
    context_size: int,
    first_head: int | None,
    head: int | None,
    stride: int,
    split: bool,
) -> DocumentRows:
    """Rows of exactly `context_size` tokens from one document each (mode per_document).

    Args:
        stream: Tokens of the stretch.
        starts: int64, where documents begin in it.
        lengths: int64, their tokens; at least 1.
        context_size: Tokens in a row.
        first_head: Id that begins a document's first row, or None.
        head: Id that begins its further rows, or None.
        stride: Tokens that consecutive rows of a document have in common.
        split: True to go on in further rows, False to drop the rest of a long document.
    """
    found: list[tuple[int, int, int]] = []
    repeated = truncated = dropped = 0
    # Shorter documents fill no row, so the loop runs once for each row at most.
    long_enough = lengths >= context_size - 1
    dropped += int(lengths[~long_enough].sum())
    for start, length in zip(starts[long_enough].tolist(), lengths[long_enough].tolist(), strict=True):
        end = start + length
        position, covered, wanted_head = start, start, first_head
        while True:
            row_head = NO_HEAD if wanted_head is None or stream[position] == wanted_head else wanted_head
            take = context_size - (row_head != NO_HEAD)
            if position + take > end:
                dropped += end - covered
                break
            found.append((position, take, row_head))
            repeated += max(0, covered - position)
            covered = position + take
            if covered == end:
                break
            if not split:
                truncated += end - covered
                break
            position, wanted_head = covered - stride, head
    return DocumentRows(np.array(found, ROW), repeated, truncated, dropped)
