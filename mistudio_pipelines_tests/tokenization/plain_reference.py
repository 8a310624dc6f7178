"""The rules of rows, told again as slowly and plainly as possible; what the fast code is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def pack_plainly(
    documents: Iterable[Sequence[int]], context_size: int, head: int | None, begin: int | None, separator: int | None
) -> tuple[list[list[int]], int, int]:
    """Rows of exactly `context_size`; the encoded tokens that fill none; and the special tokens put into rows.

    The rules are those that SAELens documents for its packed rows: each row begins with the begin-of-batch token,
    each document with the begin-of-sequence token, a document that does not begin a row is led by the separator, and
    none of them is doubled. Here the stream never ends between batches of documents.
    """
    rows: list[list[int]] = []
    row: list[int] = []
    own: list[bool] = []
    specials = 0
    for document in documents:
        rest = [(token, True) for token in document]
        if not rest:
            continue
        if begin is not None and rest[0][0] != begin:
            rest.insert(0, (begin, False))
        if row and separator is not None and rest[0][0] != separator:
            rest.insert(0, (separator, False))
        while rest:
            if not row and head is not None and rest[0][0] != head:
                row, own = [head], [False]
            token, is_own = rest.pop(0)
            row.append(token)
            own.append(is_own)
            if len(row) == context_size:
                rows.append(row)
                specials += own.count(False)
                row, own = [], []
    return rows, own.count(True), specials


def fill_plainly(
    documents: Iterable[Sequence[int]],
    context_size: int,
    head: int | None,
    begin: int | None,
    *,
    split: bool = False,
    stride: int = 0,
) -> list[list[int]]:
    """Rows of exactly `context_size` from one document each; what does not fill a row is left out."""
    rows = []
    for document in documents:
        position, lead = 0, begin if begin is not None else head
        while position < len(document):
            row = [] if lead is None or document[position] == lead else [lead]
            taken = context_size - len(row)
            row += document[position : position + taken]
            if len(row) < context_size:
                break
            rows.append(row)
            position += taken
            if position >= len(document) or not split:
                break
            position, lead = position - stride, head
    return rows


def pad_plainly(rows: Sequence[Sequence[int]], width: int, pad: int, *, left: bool = False) -> list[list[int]]:
    """Rows filled up with padding."""
    return [[pad] * (width - len(row)) + list(row) if left else list(row) + [pad] * (width - len(row)) for row in rows]
