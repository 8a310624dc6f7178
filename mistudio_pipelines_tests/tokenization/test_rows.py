"""Rows in the stream: the fast layout against the plain rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_pipelines.tokenization.gathering import RowFrame, gather_rows, source_pieces
from mistudio_pipelines.tokenization.rows import (
    NO_HEAD,
    fill_documents,
    mark_documents,
    pack_stretch,
    window_documents,
)
from mistudio_pipelines_tests.tokenization.plain_reference import fill_plainly, pack_plainly

# Few ids, so that documents often begin with, or hold, a special token; 0 is one of them.
TOKENS = st.integers(0, 4)
DOCUMENTS = st.lists(st.lists(TOKENS, min_size=1, max_size=12), max_size=12)
SPECIAL = st.none() | TOKENS


def flat(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([token for document in documents for token in document], np.uint32)
    return ids, np.cumsum([0, *map(len, documents)]).astype(np.int64)


def pack_fast(documents, context_size, head, begin, separator, cuts):
    """Mark and lay out piece by piece, as shards do, then gather."""
    pieces = []
    for start, end in zip([0, *cuts], [*cuts, len(documents)], strict=True):
        ids, bounds = flat(documents[start:end])
        pieces.append(mark_documents(ids, bounds, separator=separator, begin=begin, head=head))
    stream = np.concatenate([np.zeros(0, np.uint32), *(piece.stream for piece in pieces)])
    laid_out, next_start, base = [], 0, 0
    for piece in pieces:
        if next_start < base + len(piece.stream):
            stretch = pack_stretch(
                piece.marks,
                base,
                len(piece.stream),
                len(stream),
                next_start=next_start,
                context_size=context_size,
                head=head,
            )
            laid_out.append(stretch.rows)
            next_start = stretch.next_start
            if stretch.finished:
                break
        base += len(piece.stream)
    frame = RowFrame(context_size, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    rows = [gather_rows(stream, part, frame).tokens.reshape(-1, context_size).tolist() for part in laid_out]
    return [row for part in rows for row in part]


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS, st.integers(3, 9), SPECIAL, SPECIAL, SPECIAL, st.data())
def test_packed_rows_are_those_of_the_plain_rules_however_the_documents_are_cut_into_shards(
    documents, context_size, head, begin, separator, data
):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(documents)), max_size=3)))

    expected, _, _ = pack_plainly(documents, context_size, head, begin, separator)

    assert pack_fast(documents, context_size, head, begin, separator, cuts) == expected


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.integers(3, 9), SPECIAL, SPECIAL, st.booleans(), st.integers(0, 1))
def test_rows_of_one_document_each_are_those_of_the_plain_rules(documents, context_size, head, begin, split, stride):
    ids, bounds = flat(documents)
    stride = stride if split else 0

    found = fill_documents(
        ids,
        bounds[:-1],
        np.diff(bounds),
        context_size=context_size,
        first_head=begin if begin is not None else head,
        head=head,
        stride=stride,
        split=split,
    )

    frame = RowFrame(context_size, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    rows = gather_rows(ids, found.rows, frame).tokens.reshape(-1, context_size).tolist()
    assert rows == fill_plainly(documents, context_size, head, begin, split=split, stride=stride)
    in_rows = int(found.rows["length"].sum())
    assert len(ids) == in_rows - found.repeated + found.truncated + found.dropped


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=10), st.integers(2, 12), st.integers(0, 5))
def test_windows_of_long_documents_are_those_of_the_tokenizers_library(lengths, room, stride):
    stride = min(stride, room - 1)
    starts = np.cumsum([0, *lengths])[:-1].astype(np.int64)

    found = window_documents(starts, np.array(lengths, np.int64), room=room, stride=stride, split=True, keep_end=False)

    expected = []
    for start, length in zip(starts.tolist(), lengths, strict=True):
        expected += [(start + begin, end - begin) for begin, end in windows_of_tokenizers(length, room, stride)]
    assert list(zip(found.rows["start"].tolist(), found.rows["length"].tolist(), strict=True)) == expected
    assert found.repeated == sum(count for _, count in expected) - sum(lengths)


def windows_of_tokenizers(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Ask the library itself, with a tokenizer that has one token for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(50)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(room, stride=stride)
    encoding = tokenizer.encode(" ".join(f"w{number}" for number in range(length)))
    return [(part.ids[0], part.ids[-1] + 1) for part in [encoding, *encoding.overflowing]]


@pytest.mark.parametrize("keep_end", [False, True])
def test_a_truncated_document_keeps_its_begin_or_its_end(keep_end):
    found = window_documents(np.array([0, 5]), np.array([5, 3]), room=4, stride=0, split=False, keep_end=keep_end)

    assert found.rows["start"].tolist() == [1 if keep_end else 0, 5]
    assert found.rows["length"].tolist() == [4, 3]
    assert found.truncated == 1


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.integers(3, 9), SPECIAL, SPECIAL, SPECIAL)
def test_every_position_of_a_row_is_traced_to_its_document_or_is_special(
    documents, context_size, head, begin, separator
):
    ids, bounds = flat(documents)
    marked = mark_documents(ids, bounds, separator=separator, begin=begin, head=head)
    if not len(marked.stream):
        return
    rows = pack_stretch(
        marked.marks, 0, len(marked.stream), len(marked.stream), next_start=0, context_size=context_size, head=head
    ).rows
    ends = np.append(marked.starts[1:], len(marked.stream))
    token_starts = ends - np.diff(bounds)
    lead = (rows["head"] != NO_HEAD).astype(np.int64)

    traced = source_pieces(rows, np.arange(len(documents)), token_starts, ends, lead)

    frame = RowFrame(context_size, np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    written = gather_rows(marked.stream, rows, frame).tokens.reshape(-1, context_size)
    seen = np.zeros_like(written, bool)
    columns = (traced.row, traced.position, traced.length, traced.sample, traced.offset)
    for row, position, length, sample, offset in zip(*(column.tolist() for column in columns), strict=True):
        stretch = slice(position, position + length)
        assert length > 0
        assert written[row, stretch].tolist() == documents[sample][offset : offset + length]
        assert not seen[row, stretch].any()
        seen[row, stretch] = True
    specials = set(written[~seen].tolist())
    assert specials <= {head, begin, separator}
    _, _, added = pack_plainly(documents, context_size, head, begin, separator)
    assert int((~seen).sum()) == added


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(TOKENS, min_size=1, max_size=6), min_size=1, max_size=8),
    st.lists(TOKENS, max_size=2),
    st.lists(TOKENS, max_size=2),
    st.sampled_from(["left", "right"]),
    st.booleans(),
)
def test_padded_rows_hold_prefix_document_suffix_and_padding(documents, prefix, suffix, side, ragged):
    ids, bounds = flat(documents)
    rows = window_documents(bounds[:-1], np.diff(bounds), room=None, stride=0, split=False, keep_end=False).rows
    width = None if ragged else max(map(len, documents)) + len(prefix) + len(suffix)
    frame = RowFrame(width, np.array(prefix, np.uint32), np.array(suffix, np.uint32), 9, side)

    gathered = gather_rows(ids, rows, frame)

    for number, document in enumerate(documents):
        row = gathered.tokens[gathered.bounds[number] : gathered.bounds[number + 1]].tolist()
        real = [*prefix, *document, *suffix]
        padding = [9] * (0 if width is None else width - len(real))
        assert row == (padding + real if side == "left" else real + padding)
    if gathered.mask is not None:
        assert ((gathered.tokens == 9) == ~gathered.mask).all()
