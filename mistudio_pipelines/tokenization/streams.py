"""Reading the stream that the pieces of a split make up together, and giving back its space.

What belongs here: positions in the whole stream. What does not: the files of one piece (`pieces.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mistudio_pipelines.tokenization.pieces import ids_path


@dataclass(frozen=True)
class PieceSpan:
    """Where a piece lies in the stream of its split."""

    shard: int
    base: int
    length: int


class Stream:
    """The stream of a split, read from its pieces with plain reads (mapped files would count as memory).

    Args:
        folder: The folder of pieces.
        spans: The pieces of the split, in order.
        item_bytes: Bytes of a token on disk.
    """

    def __init__(self, folder: Path, spans: Sequence[PieceSpan], item_bytes: Literal[2, 4]) -> None:
        self._folder = folder
        self._spans = list(spans)
        self._bases = [span.base for span in spans]
        self._type = np.dtype(f"<u{item_bytes}")

    def read(self, start: int, length: int) -> np.ndarray:
        """A stretch of the stream.

        Args:
            start: Position of its first token.
            length: Number of tokens; the stretch must lie inside the stream.
        """
        out = np.empty(length, self._type)
        filled = 0
        number = bisect_right(self._bases, start) - 1
        while filled < length:
            span = self._spans[number]
            offset = start + filled - span.base
            count = min(length - filled, span.length - offset)
            if count > 0:
                self._read_into(out[filled : filled + count], span.shard, offset)
                filled += count
            number += 1
        return out

    def _read_into(self, target: np.ndarray, shard: int, offset: int) -> None:
        with ids_path(self._folder, shard).open("rb", buffering=0) as file:
            file.seek(offset * self._type.itemsize)
            view = target.view(np.uint8).data
            while view:
                count = file.readinto(view)
                if not count:
                    raise OSError(f"piece {shard} ends too early")
                view = view[count:]


class PieceNeeds:
    """Which pieces the files of rows that are not written yet need; the tokens of others are removed.

    Without this, a tokenization would take the space of its pieces beside that of its rows.

    Args:
        folder: The folder of pieces.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_file: dict[str, list[int]] = {}
        self._files_left: dict[int, int] = {}

    def add(self, file: str, shards: Sequence[int]) -> None:
        """A file that is not written yet needs some pieces."""
        self._by_file[file] = list(shards)
        for shard in shards:
            self._files_left[shard] = self._files_left.get(shard, 0) + 1

    def missing(self) -> set[int]:
        """Pieces that are needed but whose tokens were removed."""
        return {shard for shard in self._files_left if not ids_path(self._folder, shard).exists()}

    def written(self, file: str) -> None:
        """A file is written: tokens that no other file needs are removed."""
        for shard in self._by_file.pop(file, ()):
            self._files_left[shard] -= 1
            if not self._files_left[shard]:
                del self._files_left[shard]
                ids_path(self._folder, shard).unlink(missing_ok=True)
