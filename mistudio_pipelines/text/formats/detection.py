"""Which format a file has, from its name, and how it is compressed, from its first bytes.

What belongs here: the one list of accepted extensions. What does not: reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from mistudio_pipelines.text.formats.source import Format

Compression = Literal["gzip", "zstd", "bz2", "xz", "lz4", "zip"]

_FORMATS: dict[str, tuple[Format, dict[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".arrow": ("arrow", {}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".txt": ("text", {}),
}
_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lz4": "lz4",
    ".zip": "zip",
}
# The first bytes of each container; a name may lie, these do not.
_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # an archive without members
)
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
MAGIC_BYTES = 10

ACCEPTED_EXTENSIONS: tuple[str, ...] = tuple(_FORMATS)
ACCEPTED_COMPRESSIONS: tuple[str, ...] = tuple(_COMPRESSIONS)


@dataclass(frozen=True)
class Detected:
    """What a file's name says.

    Attributes:
        format: The format, or None for an archive whose name does not tell (`data.zip`).
        compression: How the name says that it is compressed, or None.
        reader_options: Options that follow from the name.
    """

    format: Format | None
    compression: Compression | None = None
    reader_options: Mapping[str, Any] = field(default_factory=dict)


def detect_format(name: str) -> Detected | None:
    """The format that a file's name stands for, for example JSON for `train.jsonl.gz`; None where it stands for none.

    Args:
        name: A file name or a path with `/`; only its last extensions are looked at.
    """
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes[-2:]]
    if not suffixes:
        return None
    compression = _COMPRESSIONS.get(suffixes[-1])
    inner = suffixes[:-1] if compression else suffixes
    if inner and inner[-1] in _FORMATS:
        data_format, options = _FORMATS[inner[-1]]
        return Detected(data_format, compression, options)
    return Detected(None, compression) if compression == "zip" else None


def detect_compression(head: bytes) -> Compression | None:
    """How a file is compressed.

    Args:
        head: Its first `MAGIC_BYTES` bytes.
    """
    for magic, compression in _MAGIC:
        if head.startswith(magic):
            return compression
    # A text may begin with "BZh9"; what follows in a bzip2 file is the start of a block or of the end.
    return "bz2" if head[:3] == b"BZh" and head[4:10] in _BZIP2_BLOCKS else None


def accepted_extensions_sentence() -> str:
    """The accepted extensions, for error messages."""
    return f"{', '.join(ACCEPTED_EXTENSIONS)}, also compressed as {', '.join(ACCEPTED_COMPRESSIONS)}"
