"""The hashes that prove a file's bytes, computed beside the transfer.

What belongs here: sha256 and git blob ids of streams. What does not: files on disk (`hub/partial.py`).
"""

from __future__ import annotations

import hashlib
import queue
import threading

_BATCH_BYTES = 1024 * 1024
_WAITING_BATCHES = 4


class ContentHash:
    """sha256 of a stream, and its git blob id where that is what proves it.

    Hashing takes about as long as receiving, so from the first MiB on it happens in a thread of its own, in batches
    (hashlib lets other threads run meanwhile). `close` must be called where `finish` is not.

    Args:
        size: Bytes of the whole stream; part of the git blob id.
        sha256: What it must be, or None.
        git_sha1: What the git blob id must be, or None. Only looked at where there is no sha256.
    """

    def __init__(self, size: int, sha256: str | None, git_sha1: str | None) -> None:
        self._expected = (sha256, git_sha1)
        self._sha256 = hashlib.sha256()
        self._git = None
        if sha256 is None and git_sha1 is not None:
            # Git hashes a header before the bytes (git-hash-object).
            self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._batches: queue.Queue[list[bytes] | None] = queue.Queue(_WAITING_BATCHES)
        self._thread: threading.Thread | None = None

    def update(self, data: bytes) -> None:
        """Take in more of the stream."""
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= _BATCH_BYTES:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="content-hash", daemon=True)
                self._thread.start()
            self._batches.put(self._batch)
            self._batch, self._batch_bytes = [], 0

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._hash(batch)

    def _hash(self, batch: list[bytes]) -> None:
        for data in batch:
            self._sha256.update(data)
            if self._git is not None:
                self._git.update(data)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    def finish(self) -> str | None:
        """The sha256 of all bytes, or None where they are not the expected ones. Ends the thread."""
        self.close()
        self._hash(self._batch)
        self._batch, self._batch_bytes = [], 0
        expected_sha256, expected_git = self._expected
        sha256 = self._sha256.hexdigest()
        if expected_sha256 is not None and sha256 != expected_sha256:
            return None
        if self._git is not None and self._git.hexdigest() != expected_git:
            return None
        return sha256
