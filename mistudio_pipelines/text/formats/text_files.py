"""Plain text: one sample per line, paragraph or file, as `datasets` cuts it.

Lines end with LF, CRLF or CR. Empty lines are samples (and counted as empty by the statistics); a line end at the end
of the file begins no further sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from mistudio_pipelines.text.formats.lines import MOST_LINE_BYTES, iter_line_blocks, iter_utf8_blocks
from mistudio_pipelines.text.formats.source import Reading

_DEFAULT_COLUMN = "text"


def iter_text_tables(stream: BinaryIO, reading: Reading) -> Iterator[pa.Table]:
    """Samples of a text file, in one column.

    Raises:
        MistudioError: `unreadable_file`.
    """
    reading.check_options("encoding", "sample_by")
    sample_by = reading.options.get("sample_by") or "line"
    blocks = _iter_with_line_feeds(iter_utf8_blocks(stream, reading))
    if sample_by == "line":
        samples = _iter_lines(blocks, reading)
    elif sample_by == "paragraph":
        samples = _iter_paragraphs(blocks, reading)
    elif sample_by == "document":
        samples = _iter_document(blocks, reading)
    else:
        reading.fail(f"sample_by is {sample_by!r}", "Choose line, paragraph or document.")
    for texts in samples:
        reading.poll()
        # Offsets of 64 bits: one document may be most of 2 GB, and a block of them more.
        large = sum(map(len, texts)) >= MOST_LINE_BYTES
        array = pa.array(texts, pa.large_string() if large else pa.string())
        yield pa.table({reading.text_column or _DEFAULT_COLUMN: array})


def _iter_with_line_feeds(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """CRLF and CR as LF; a CR at the end of a block waits for what follows."""
    carried = b""
    for block in blocks:
        content = carried + block
        carried = b""
        if b"\r" in content:
            if content.endswith(b"\r"):
                content, carried = content[:-1], b"\r"
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield content
    if carried:
        yield b"\n"


def _iter_lines(blocks: Iterator[bytes], reading: Reading) -> Iterator[list[bytes]]:
    for _, block in iter_line_blocks(blocks, reading):
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        yield lines


def _iter_paragraphs(blocks: Iterator[bytes], reading: Reading) -> Iterator[list[bytes]]:
    """Pieces between blank lines, without empty ones."""
    unfinished = b""
    for block in blocks:
        *paragraphs, unfinished = (unfinished + block).split(b"\n\n")
        _check_size(len(unfinished), reading)
        if whole := [paragraph for paragraph in paragraphs if paragraph.strip(b"\n")]:
            yield whole
    if unfinished.strip(b"\n"):
        yield [unfinished]


def _iter_document(blocks: Iterator[bytes], reading: Reading) -> Iterator[list[bytes]]:
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        _check_size(size, reading)
    if parts:
        yield [b"".join(parts)]


def _check_size(size: int, reading: Reading) -> None:
    if size > MOST_LINE_BYTES:
        reading.fail(f"one sample would be longer than {MOST_LINE_BYTES >> 20} MB", "Choose sample_by=line.")
