"""A remote file that is read in pieces: what pyarrow and zipfile need to look into a file without fetching it.

What does not belong here: fetching whole files (`hub/fetch.py`), knowing formats (`hub/peek.py`).
"""

from __future__ import annotations

import io
from collections import OrderedDict

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.refusals import Request
from mistudio_pipelines.hub.tree import TreeFile

BLOCK = 256 * 1024
_MOST_BLOCKS = 64
_MOST_BYTES = 64 * 1024 * 1024


class RangedFile(io.RawIOBase):
    """A read-only file over ranged requests, with the last blocks kept.

    Args:
        client: The Hub.
        repository: Id of the dataset repository.
        commit: The commit.
        file: The file.
        most_bytes: Bytes after which reading is refused: looking into a file must not become fetching it.

    Raises:
        MistudioError: What the Hub refuses, from `read`.
    """

    def __init__(
        self, client: HubClient, repository: str, commit: str, file: TreeFile, *, most_bytes: int = _MOST_BYTES
    ) -> None:
        super().__init__()
        self._client = client
        self._request = Request(repository, commit, file.path)
        self._url = client.file_url(repository, commit, file.path)
        self._size = file.size
        self._left = most_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as `io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; all of the rest where it is negative or None."""
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        pieces = bytearray()
        while self._position < end:
            number, offset = divmod(self._position, BLOCK)
            piece = self._block(number, end)[offset : offset + end - self._position]
            pieces += piece
            self._position += len(piece)
        return bytes(pieces)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """Fill a buffer and return the number of bytes."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _block(self, number: int, wanted_end: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        # One request for a run of missing blocks, so that a large footer is not fetched in many small ones.
        last = max(number, (wanted_end - 1) // BLOCK)
        stop = number + 1
        while stop <= last and stop not in self._blocks and stop - number < _MOST_BLOCKS // 2:
            stop += 1
        for offset, block in enumerate(self._fetch(number * BLOCK, min(self._size, stop * BLOCK))):
            self._blocks[number + offset] = block
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def _fetch(self, start: int, end: int) -> list[bytes]:
        self._left -= end - start
        if self._left < 0:
            raise self._unreadable("too much of it would have to be fetched to look into it")
        headers = {"range": f"bytes={start}-{end - 1}"}
        body, answer = self._client.get(self._url, self._request, headers, at_most=end)
        if "content-range" not in answer:  # a server without ranges sent the file from its beginning
            body = body[start:]
        if len(body) < end - start:
            raise self._unreadable("it is shorter than the Hub says")
        body = body[: end - start]
        return [body[at : at + BLOCK] for at in range(0, len(body), BLOCK)]

    def _unreadable(self, why: str) -> MistudioError:
        return MistudioError(
            ErrorCode.UNSUPPORTED_FORMAT,
            f"The file '{self._request.path}' of '{self._request.repository}' cannot be looked into: {why}.",
            "Name the text column, or choose another config, split or revision.",
        )
