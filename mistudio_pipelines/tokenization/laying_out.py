"""Laying out the rows of a split from its pieces: sequential and cheap, because it looks at documents, not tokens.

What belongs here: going through the pieces in order, the file of ROW records, and the counts that follow. What does
not: the rules (`rows.py`), writing rows (`assembly.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.progress import ShouldStop
from mistudio_pipelines.tokenization.pieces import PieceReport, PieceTables, read_tables
from mistudio_pipelines.tokenization.presets import TokenizationPreset
from mistudio_pipelines.tokenization.rows import (
    NO_HEAD,
    ROW,
    DocumentRows,
    fill_documents,
    pack_stretch,
    window_documents,
)
from mistudio_pipelines.tokenization.statistics import LengthCounts
from mistudio_pipelines.tokenization.streams import PieceSpan, Stream


@dataclass(frozen=True)
class RowPolicy:
    """What the preset and its tokenizer say about rows, in ids.

    Attributes:
        preset: The saved preset.
        head: Id that begins each row, or None.
        begin: Id that begins each document, or None.
        separator: Id between documents of a row, or None.
        prefix: Ids that the tokenizer puts before each padded row.
        suffix: Ids that it puts after.
        pad_id: Id of the padding, or None.
        pad_side: Side that is padded.
        keep_end: True where truncated documents keep their end.
    """

    preset: TokenizationPreset
    head: int | None = None
    begin: int | None = None
    separator: int | None = None
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad_id: int | None = None
    pad_side: str = "right"
    keep_end: bool = False


@dataclass
class PieceRows:
    """What became of one piece.

    Attributes:
        rows: Rows that begin in it.
        tail: Encoded tokens of it that fill no row at the end of the split.
        truncated: Encoded tokens of long documents that are in no row.
        dropped: Encoded tokens of short documents that are in no row.
    """

    rows: int = 0
    tail: int = 0
    truncated: int = 0
    dropped: int = 0


@dataclass
class SplitLayout:
    """The rows of a split.

    Attributes:
        split: The split.
        spans: Its pieces in the stream.
        rows_file: The ROW records.
        rows: How many rows it has.
        widest: Tokens of its longest row, prefix and suffix included.
        tokens: Tokens in its rows, padding left out, as laid out.
        specials: Of them put there beside the encoded ones.
        repeated: Of them in a further row because of the stride.
        by_piece: What became of each piece.
    """

    split: str
    spans: list[PieceSpan]
    rows_file: Path
    rows: int = 0
    widest: int = 0
    tokens: int = 0
    specials: int = 0
    repeated: int = 0
    by_piece: list[PieceRows] = field(default_factory=list)


def lay_out_split(
    split: str,
    reports: Sequence[PieceReport],
    pieces_folder: Path,
    rows_file: Path,
    policy: RowPolicy,
    lengths: LengthCounts,
    should_stop: ShouldStop,
) -> SplitLayout:
    """Lay out the rows of a split and write them as ROW records.

    Args:
        split: The split.
        reports: Its pieces, in order.
        pieces_folder: Where they lie.
        rows_file: Where the records go.
        policy: What rows are to be.
        lengths: Takes in the tokens of each document.
        should_stop: Polled before each piece.

    Raises:
        Stopped: Where `should_stop` said so.
    """
    layout = SplitLayout(split, _spans(reports), rows_file)
    lay_out = _pack if policy.preset.mode == "packed" else _lay_out_documents
    with rows_file.open("wb") as file:

        def write(rows: np.ndarray) -> None:
            file.write(rows.view(np.uint8).data)
            layout.rows += len(rows)
            added = (rows["head"] != NO_HEAD) + len(policy.prefix) + len(policy.suffix)
            sizes = rows["length"] + added
            layout.widest = max(layout.widest, int(sizes.max(initial=0)))
            layout.tokens += int(sizes.sum())
            layout.specials += int(added.sum())

        def tables_of(number: int) -> PieceTables:
            if should_stop():
                raise Stopped("Tokenization")
            tables = read_tables(pieces_folder, reports[number].shard)
            ends = np.append(tables.starts[1:], reports[number].stream_length)
            lengths.add(ends - tables.token_starts)
            return tables

        lay_out(layout, reports, pieces_folder, policy, tables_of, write)
    return layout


def _spans(reports: Sequence[PieceReport]) -> list[PieceSpan]:
    spans = []
    base = 0
    for report in reports:
        spans.append(PieceSpan(report.shard, base, report.stream_length))
        base += report.stream_length
    return spans


def _pack(
    layout: SplitLayout,
    reports: Sequence[PieceReport],
    _pieces_folder: Path,
    policy: RowPolicy,
    tables_of: Callable[[int], PieceTables],
    write: Callable[[np.ndarray], None],
) -> None:
    total = sum(report.stream_length for report in reports)
    next_start = skipped = 0
    finished = False
    marks = []
    for number, span in enumerate(layout.spans):
        tables = tables_of(number)
        marks.append(np.sort(np.concatenate([tables.marks.separators, tables.marks.begins])) + span.base)
        piece = PieceRows()
        layout.by_piece.append(piece)
        if finished or next_start >= span.base + span.length:
            continue
        stretch = pack_stretch(
            tables.marks,
            span.base,
            span.length,
            total,
            next_start=next_start,
            context_size=policy.preset.row_size,
            head=policy.head,
        )
        write(stretch.rows)
        piece.rows = len(stretch.rows)
        next_start, finished = stretch.next_start, stretch.finished
        skipped += stretch.skipped_separators
        # Marks of earlier pieces can no longer be in the tail, unless a row has not begun since.
        marks = [part[np.searchsorted(part, next_start) :] for part in marks] if len(stretch.rows) else marks
    _count_tail(layout, marks, next_start)
    all_marks = sum(report.separators + report.begins for report in reports)
    layout.specials += all_marks - skipped - sum(len(part[part >= next_start]) for part in marks)


def _count_tail(layout: SplitLayout, marks: Sequence[np.ndarray], tail_start: int) -> None:
    """Encoded tokens after the last row, put down to the pieces that they are in."""
    in_tail = np.concatenate([np.zeros(0, np.int64), *marks])
    for span, piece in zip(layout.spans, layout.by_piece, strict=True):
        begin, end = max(span.base, tail_start), span.base + span.length
        if begin < end:
            piece.tail = end - begin - int(((in_tail >= begin) & (in_tail < end)).sum())


def _lay_out_documents(
    layout: SplitLayout,
    reports: Sequence[PieceReport],
    pieces_folder: Path,
    policy: RowPolicy,
    tables_of: Callable[[int], PieceTables],
    write: Callable[[np.ndarray], None],
) -> None:
    for number, span in enumerate(layout.spans):
        tables = tables_of(number)
        lengths = np.diff(np.append(tables.starts, span.length))
        if policy.preset.mode == "padded":
            found = _window(tables, lengths, policy)
        else:
            item_bytes = reports[number].item_bytes
            stream = Stream(pieces_folder, [replace(span, base=0)], item_bytes).read(0, span.length)
            found = _fill(stream, tables, lengths, policy)
        rows = found.rows.astype(ROW)
        rows["start"] += span.base
        write(rows)
        layout.repeated += found.repeated
        layout.by_piece.append(PieceRows(len(rows), 0, found.truncated, found.dropped))


def _window(tables: PieceTables, lengths: np.ndarray, policy: RowPolicy) -> DocumentRows:
    preset = policy.preset
    room = None
    if preset.truncation != "none":
        room = preset.row_size - len(policy.prefix) - len(policy.suffix)
    return window_documents(
        tables.starts,
        lengths,
        room=room,
        stride=preset.stride,
        split=preset.truncation == "split",
        keep_end=policy.keep_end,
    )


def _fill(stream: np.ndarray, tables: PieceTables, lengths: np.ndarray, policy: RowPolicy) -> DocumentRows:
    return fill_documents(
        stream,
        tables.starts,
        lengths,
        context_size=policy.preset.row_size,
        first_head=policy.begin if policy.begin is not None else policy.head,
        head=policy.head,
        stride=policy.preset.stride,
        split=policy.preset.truncation == "split",
    )
