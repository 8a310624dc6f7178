"""Blocks of valid UTF-8, and blocks of whole lines.

What belongs here: what JSON Lines, CSV and text have in common below their syntax: encodings, the byte order mark,
invalid characters, lines of any length. A line ends with LF (a CR before it is the formats' business); U+2028, U+0085
and form feeds are ordinary characters.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from mistudio_pipelines.text.formats.source import Reading
from mistudio_pipelines.text.utf8 import REPLACEMENT, is_valid_utf8

BLOCK_BYTES = 4 << 20
MOST_LINE_BYTES = 256 << 20
_BOM = codecs.BOM_UTF8
_REPLACEMENT_BYTES = REPLACEMENT.encode()


def iter_utf8_blocks(stream: BinaryIO, reading: Reading, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The stream as blocks of valid UTF-8 that end between characters, without a byte order mark.

    Invalid sequences are replaced and counted in `reading`, or refused with their line and column where it is strict.
    UTF-16 and UTF-32 are recognized by their byte order mark; others are named by the option `encoding`.

    Raises:
        MistudioError: `unreadable_file`.
    """
    head = _read_fully(stream, 4)
    encoding = str(reading.options.get("encoding") or _encoding_of_mark(head))
    blocks = _iter_raw_blocks(stream, head, block_bytes)
    if _codec_name(encoding, reading) in ("utf-8", "utf-8-sig", "ascii"):
        return _iter_checked(blocks, reading)
    return _iter_transcoded(blocks, encoding, reading)


def iter_line_blocks(blocks: Iterator[bytes], reading: Reading) -> Iterator[tuple[int, bytes]]:
    """Blocks cut after line ends, each with the number of its first line (from 1).

    The last one may lack the final line end. Memory is that of a block or of the longest line.

    Raises:
        MistudioError: `unreadable_file` for a line longer than 256 MB.
    """
    line = 1
    unfinished: list[bytes] = []
    size = 0
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            whole = b"".join([*unfinished, block[:end]])
            yield line, whole
            line += whole.count(b"\n")
            unfinished, size = [], 0
        if end < len(block):
            unfinished.append(block[end:])
            size += len(block) - end
            if size > MOST_LINE_BYTES:
                reading.fail(f"line {line} is longer than {MOST_LINE_BYTES >> 20} MB", "Split it into lines.")
    if unfinished:
        yield line, b"".join(unfinished)


def _read_fully(stream: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _encoding_of_mark(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # the first begins like UTF-16's
        return "utf-32"
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"


def _iter_raw_blocks(stream: BinaryIO, head: bytes, block_bytes: int) -> Iterator[bytes]:
    block = head + _read_fully(stream, max(0, block_bytes - len(head)))
    while block:
        yield block
        block = _read_fully(stream, block_bytes)


def _codec_name(encoding: str, reading: Reading) -> str:
    try:
        "".encode(encoding)  # refuses names that are no text encodings, such as zlib
        return codecs.lookup(encoding).name
    except LookupError:
        reading.fail(f"there is no encoding {encoding!r}", "Name one that Python knows, for example utf-8 or cp1252.")


def _iter_checked(blocks: Iterator[bytes], reading: Reading) -> Iterator[bytes]:
    carried = b""
    line = 1
    first = True
    for block in blocks:
        content = carried + block
        if first:
            content = content.removeprefix(_BOM)
            first = False
        valid, carried = _check(content, line, reading, final=False)
        if reading.strict:
            line += valid.count(b"\n")
        if valid:
            yield valid
    if carried:
        yield _check(carried, line, reading, final=True)[0]


def _check(content: bytes, line: int, reading: Reading, *, final: bool) -> tuple[bytes, bytes]:
    """Valid UTF-8 for the content, and the bytes at its end that may be the beginning of a character."""
    end = len(content) if final else _end_of_whole_characters(content)
    if is_valid_utf8(content[:end]):
        return content[:end], content[end:]
    try:
        _, consumed = codecs.utf_8_decode(content, "strict", final)
        return content[:consumed], content[consumed:]
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line += before.count(b"\n")
        column = error.start - (before.rfind(b"\n") + 1) + 1
        text, consumed = codecs.utf_8_decode(content, "replace", final)
        used = content[:consumed]
        replaced = text.count(REPLACEMENT) - used.count(_REPLACEMENT_BYTES)
        reading.count_replaced(replaced, f"line {line}, byte {column} of it")
        return text.encode(), content[consumed:]


def _end_of_whole_characters(content: bytes) -> int:
    """Where a character begins that is cut off by the end of the bytes; the end itself where none is."""
    for back in range(1, min(4, len(content)) + 1):
        byte = content[-back]
        if byte >= 0xC0:  # the first byte of a character says how long it is
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(content) - back if back < length else len(content)
        if byte < 0x80:
            break
    return len(content)


def _iter_transcoded(blocks: Iterator[bytes], encoding: str, reading: Reading) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    line = 1
    for block in blocks:
        yield from _transcode(decoder, block, encoding, line, reading)
        line += block.count(b"\n")
    yield from _transcode(decoder, b"", encoding, line, reading, final=True)


def _transcode(
    decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, line: int, reading: Reading, *, final: bool = False
) -> Iterator[bytes]:
    text = decoder.decode(block, final)
    # Written by hand in the file or replaced by the decoder: here nobody can tell, so both count.
    reading.count_replaced(text.count(REPLACEMENT), f"about line {line} (read as {encoding})")
    if text:
        yield text.encode(errors="replace")
