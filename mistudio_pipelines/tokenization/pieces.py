"""Pieces: the encoded shards of a split on disk, and reading the stream that they make up together.

What belongs here: the files of a piece and their checks. What does not: encoding (`encoding.py`), rows (`rows.py`).
A piece is temporary: it lies in the partial folder until the rows are written. Its files are not fsynced, because
a piece that does not fit its report is made again.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.sharding import ProgressNote
from mistudio_pipelines.store.atomic import write_bytes
from mistudio_pipelines.tokenization.rows import MarkedDocuments, Marks

_CHECK_CHUNK = 1 << 22


class PieceReport(BaseModel):
    """What encoding one shard of input gave; written last, so that it says that the piece is complete.

    Attributes:
        shard: Number of the shard.
        split: Its split.
        fingerprint: Of the plan that it belongs to.
        stream_length: Tokens and marks in the piece.
        item_bytes: Bytes of a token on disk.
        ids_crc32: Of the file of tokens.
        tables_crc32: Of the file of tables.
        documents: Samples read.
        nulls: Samples without text.
        skipped: Samples that the tokenizer refused.
        first_skipped: Numbers of the first of them.
        empty: Samples that gave no token.
        replaced_characters: Invalid UTF-8 sequences that were read as U+FFFD.
        text_bytes: Bytes of UTF-8 encoded.
        tokens_encoded: Tokens that the tokenizer gave.
        separators: Separators put in.
        begins: Begin-of-sequence tokens put in.
        documents_by_engine: How many documents each engine encoded.
        checked: Stretches of text that were encoded by both engines and gave the same.
        difference: The sample where the engines differed, which made the shard start again; None where none did.
        seconds: Time it took.
    """

    model_config = ConfigDict(frozen=True)

    shard: int
    split: str
    fingerprint: str
    stream_length: int
    item_bytes: Literal[2, 4]
    ids_crc32: int
    tables_crc32: int
    documents: int
    nulls: int
    skipped: int
    first_skipped: tuple[int, ...] = ()
    empty: int
    replaced_characters: int
    text_bytes: int
    tokens_encoded: int
    separators: int
    begins: int
    documents_by_engine: dict[str, int]
    checked: int
    difference: int | None = None
    seconds: float


@dataclass(frozen=True)
class PieceTables:
    """Per document and per mark; positions are inside the piece.

    Attributes:
        samples: int64, sample numbers of the documents that gave tokens.
        starts: int64, where each begins, its marks included.
        token_starts: int64, where its own tokens begin.
        marks: Positions that decide about the rows.
    """

    samples: np.ndarray
    starts: np.ndarray
    token_starts: np.ndarray
    marks: Marks


def ids_path(folder: Path, shard: int) -> Path:
    """The file of a piece's tokens: little-endian uint16 or uint32."""
    return folder / f"{shard:06d}.ids"


def tables_path(folder: Path, shard: int) -> Path:
    """The file of a piece's tables."""
    return folder / f"{shard:06d}.npz"


def report_path(folder: Path, shard: int) -> Path:
    """The file of a piece's report."""
    return folder / f"{shard:06d}.json"


class PieceWriter:
    """Writes one piece, batch by batch.

    Args:
        folder: The folder of pieces.
        shard: Number of the shard.
        item_bytes: Bytes of a token on disk.
    """

    def __init__(self, folder: Path, shard: int, item_bytes: Literal[2, 4]) -> None:
        self._folder = folder
        self._shard = shard
        self._type = np.dtype(f"<u{item_bytes}")
        # A cluster may start a shard again though a worker that it lost sight of still writes it.
        self._path = ids_path(folder, shard).with_suffix(f".{uuid4().hex}.tmp")
        self._file = self._path.open("wb")
        self._tables: list[tuple[np.ndarray, ...]] = []
        self._note = ProgressNote(folder, shard)
        self.stream_length = 0
        self.separators = 0
        self.begins = 0
        self.ids_crc32 = 0

    def tell(self, documents: int) -> None:
        """Tell others how many documents and tokens the piece has so far; at most twice a second."""
        self._note.tell(documents, self.stream_length)

    def add(self, samples: np.ndarray, marked: MarkedDocuments) -> None:
        """Add documents.

        Args:
            samples: int64, their sample numbers.
            marked: Their tokens with marks.
        """
        content = np.ascontiguousarray(marked.stream, self._type)
        buffer = content.view(np.uint8).data
        self._file.write(buffer)
        self.ids_crc32 = zlib.crc32(buffer, self.ids_crc32)
        marks, base = marked.marks, self.stream_length
        positions = (marked.starts, marks.separators, marks.begins, marks.heads)
        self._tables.append((samples, *(position + base for position in positions)))
        self.stream_length += len(content)
        self.separators += len(marks.separators)
        self.begins += len(marks.begins)

    def finish(self) -> int:
        """Write the tables and give the file of tokens its name; returns the checksum of the tables."""
        self._file.close()
        empty = (np.zeros(0, np.int64),) * 5
        columns = [np.concatenate(parts) for parts in zip(empty, *self._tables, strict=True)]
        names = ("samples", "starts", "separators", "begins", "heads")
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **dict(zip(names, columns, strict=True)))
        tables = self._path.with_suffix(".tables.tmp")
        tables.write_bytes(content.getbuffer())
        tables.replace(tables_path(self._folder, self._shard))
        self._path.replace(ids_path(self._folder, self._shard))
        return zlib.crc32(content.getbuffer())

    def close(self) -> None:
        """Close the file, also after a failure."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._note.remove()


def write_report(folder: Path, report: PieceReport) -> None:
    """Say that a piece is complete."""
    write_bytes(report_path(folder, report.shard), report.model_dump_json().encode())


def read_report(folder: Path, shard: int, fingerprint: str) -> PieceReport | None:
    """The report of a finished piece of this plan, or None where there is none."""
    try:
        report = PieceReport.model_validate_json(report_path(folder, shard).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None
    return report if report.fingerprint == fingerprint and report.shard == shard else None


def piece_is_intact(folder: Path, report: PieceReport, *, tokens_may_be_gone: bool) -> bool:
    """True where a piece's files are what its report says, byte for byte.

    Args:
        folder: The folder of pieces.
        report: The piece's report.
        tokens_may_be_gone: True where tokens are removed as soon as their rows are written (`PieceNeeds`).
    """
    try:
        if zlib.crc32(tables_path(folder, report.shard).read_bytes()) != report.tables_crc32:
            return False
        if tokens_may_be_gone and not ids_path(folder, report.shard).exists():
            return True
        checksum = 0
        with ids_path(folder, report.shard).open("rb") as file:
            while chunk := file.read(_CHECK_CHUNK):
                checksum = zlib.crc32(chunk, checksum)
            size = file.tell()
    except OSError:
        return False
    return checksum == report.ids_crc32 and size == report.stream_length * report.item_bytes


def read_tables(folder: Path, shard: int) -> PieceTables:
    """The tables of a piece."""
    with np.load(tables_path(folder, shard)) as archive:
        starts, separators, begins = archive["starts"], archive["separators"], archive["begins"]
        marks = Marks(separators, begins, archive["heads"])
        # A document's marks stand right before its tokens: at most a separator, then a begin.
        token_starts = starts + np.isin(starts, separators, assume_unique=True)
        token_starts = token_starts + np.isin(token_starts, begins, assume_unique=True)
        return PieceTables(archive["samples"], starts, token_starts, marks)
