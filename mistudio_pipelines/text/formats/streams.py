"""Bytes of a stored file: decompressed, archive members one after the other, with a limit to what they may become.

What belongs here: containers. What does not: what the bytes mean. Nothing is unpacked to a path that an archive names:
members are read as streams, and their names serve to recognize their format and in error messages only.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

from mistudio_pipelines.text.formats.detection import (
    MAGIC_BYTES,
    Compression,
    accepted_extensions_sentence,
    detect_compression,
    detect_format,
)
from mistudio_pipelines.text.formats.source import Format, Reading

# Text compresses 3 to 30 times. What becomes more than this and is large besides is not data but an attack.
MOST_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 1 << 30
MOST_MEMBERS = 100_000
_CHUNK_BYTES = 1 << 20
_XZ_MEMORY_BYTES = 256 << 20
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException, NotImplementedError)
# What Python's zip reader raises besides when headers make no sense.
_DAMAGED_ZIP = (*_DAMAGED, ValueError, RuntimeError, struct.error, OverflowError)


class ByteStream(Protocol):
    """What readers need of a stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


OpenStream = Callable[[], BinaryIO]


def iter_members(path: Path, data_format: Format, reading: Reading) -> Iterator[OpenStream]:
    """The decompressed content of a file: one, or one per archive member of the format.

    Each comes as a function that opens it at its beginning, to be called again where a reader has to start over. Only
    the stream opened last may be read.

    Args:
        path: The stored file.
        data_format: What it is expected to hold; archive members of other formats are passed over.
        reading: Told the position; its name carries the member while that is read.

    Raises:
        MistudioError: `unreadable_file` where the container is damaged, encrypted, or expands beyond reason.
    """
    with path.open("rb") as file:
        compression = detect_compression(file.read(MAGIC_BYTES))
        file.seek(0)
        limit = max(ALWAYS_ALLOWED_BYTES, MOST_EXPANSION * path.stat().st_size)
        if compression == "zip":
            yield from _iter_zip_members(_counted(file, reading), data_format, reading, limit)
        else:
            yield partial(_open_plain, file, compression, reading, limit)


def _open_plain(file: BinaryIO, compression: Compression | None, reading: Reading, limit: int) -> BinaryIO:
    file.seek(0)
    counted = _counted(file, reading)
    if compression is None:
        return counted
    return _limited(_decompressor(counted, compression), reading, _Budget(limit))


def list_zip_formats(path: Path) -> dict[Format, int]:
    """How many members of each format a zip archive has; the archive's own word for it.

    Raises:
        MistudioError: `unreadable_file` where it is no readable archive.
    """
    reading = Reading(name=path.name)
    counts: dict[Format, int] = {}
    with path.open("rb") as file:
        for member in _members(_open_zip(file, reading), reading):
            detected = detect_format(member.filename)
            if detected is not None and detected.format is not None:
                counts[detected.format] = counts.get(detected.format, 0) + 1
    return counts


def _iter_zip_members(file: BinaryIO, data_format: Format, reading: Reading, limit: int) -> Iterator[OpenStream]:
    archive_name = reading.name
    archive_options = reading.options
    budget = _Budget(limit)
    with _open_zip(file, reading) as archive:
        members = _members(archive, reading)
        detected = {member.filename: detect_format(member.filename) for member in members}
        chosen = [m for m in members if (found := detected[m.filename]) is not None and found.format == data_format]
        if not chosen and len(members) == 1:
            chosen = members
        if not chosen:
            reading.fail("no member has a format that can be read", f"Accepted are {accepted_extensions_sentence()}.")
        for member in chosen:
            found = detected[member.filename]
            reading.name = f"{archive_name}::{member.filename}"
            reading.options = {**(found.reader_options if found else {}), **archive_options}
            yield partial(_open_zip_member, archive, member, reading, budget)
    reading.name = archive_name
    reading.options = archive_options


def _open_zip(file: BinaryIO, reading: Reading) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DAMAGED_ZIP as error:
        reading.fail(f"it is not a readable zip archive ({error})")


def _members(archive: zipfile.ZipFile, reading: Reading) -> list[zipfile.ZipInfo]:
    """Members that may hold data, by name: no folders, no hidden files, no resource forks, none without a name.

    A name that begins with NUL is read as an empty one.
    """
    if len(archive.infolist()) > MOST_MEMBERS:
        reading.fail(f"the archive has more than {MOST_MEMBERS:,} members")
    return sorted(
        (
            member
            for member in archive.infolist()
            if member.filename
            and not member.is_dir()
            and not any(part.startswith((".", "__")) for part in PurePosixPath(member.filename).parts if part != "..")
        ),
        key=lambda member: member.filename,
    )


def _open_zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, reading: Reading, budget: _Budget) -> BinaryIO:
    if member.flag_bits & 0x1:
        reading.fail("it is encrypted", "Unpack it with its password and add the files.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        reading.fail("its compression method is not supported", "Pack it again with the usual method (deflate).")
    try:
        buffered = io.BufferedReader(cast("io.RawIOBase", archive.open(member)), _CHUNK_BYTES)
        compression = detect_compression(buffered.peek(MAGIC_BYTES)[:MAGIC_BYTES])
    except _DAMAGED_ZIP as error:
        reading.fail(f"its compressed content is damaged ({error})", "Get the file again.")
    if compression == "zip":
        reading.fail("it is an archive inside an archive", "Unpack it and add the files.")
    inner: ByteStream = buffered if compression is None else _decompressor(buffered, compression)
    return _limited(inner, reading, budget)


def _decompressor(stream: BinaryIO, compression: Compression) -> ByteStream:
    if compression == "bz2":
        return _PythonDecompressor(stream, bz2.BZ2Decompressor)
    if compression == "xz":
        return _PythonDecompressor(stream, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES))
    return cast("ByteStream", pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), compression))


def _counted(file: BinaryIO, reading: Reading) -> BinaryIO:
    return cast("BinaryIO", _Counted(file, reading))


def _limited(stream: ByteStream, reading: Reading, budget: _Budget) -> BinaryIO:
    return cast("BinaryIO", _Limited(stream, reading, budget))


class _Budget:
    """How many bytes a stored file may still become, all of its members together."""

    def __init__(self, bytes_left: int) -> None:
        self.bytes_left = bytes_left


class _Counted(io.RawIOBase):
    """The stored file: tells how far it was read, and stops where the caller wants it."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file = file
        self._reading = reading

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer, as in io itself
        self._reading.poll()
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]  # a buffered file has it
        self._reading.position = self._file.tell()
        return int(count)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Limited(io.RawIOBase):
    """A decompressed stream: damage becomes an error that names the file, and its size is limited."""

    def __init__(self, stream: ByteStream, reading: Reading, budget: _Budget) -> None:
        self._stream = stream
        self._reading = reading
        self._budget = budget

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer, as in io itself
        try:
            content = self._stream.read(len(buffer))
        except _DAMAGED as error:
            self._reading.fail(f"its compressed content is damaged ({error})", "Get the file again.")
        self._budget.bytes_left -= len(content)
        if self._budget.bytes_left < 0:
            self._reading.fail(
                f"it expands to more than {MOST_EXPANSION} times its size, which text does not do",
                "If you trust the file, unpack it and add what was inside.",
            )
        buffer[: len(content)] = content
        return len(content)

    def readable(self) -> bool:
        return True


class _PythonDecompressor:
    """bzip2 and xz, any number of streams one after the other, never more than asked for at a time.

    `bz2.open` and `lzma.open` would do, but for the limit of memory that an xz header may demand.
    """

    def __init__(self, stream: BinaryIO, make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> None:
        self._stream = stream
        self._make = make
        self._current = make()

    def read(self, size: int = -1, /) -> bytes:
        while True:
            if self._current.eof:
                rest = self._current.unused_data.lstrip(b"\0") or self._stream.read(_CHUNK_BYTES).lstrip(b"\0")
                if not rest:
                    return b""
                self._current = self._make()
            elif self._current.needs_input:
                rest = self._stream.read(_CHUNK_BYTES)
                if not rest:
                    raise EOFError("it ends too early")
            else:
                rest = b""
            if content := self._current.decompress(rest, size):
                return content
