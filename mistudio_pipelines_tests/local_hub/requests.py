"""The record of every request to the local Hub.

What belongs here: what a request was, how its answer went, and questions about many of them. What does not: answering.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

Origin = Literal["hub", "cdn"]
KEPT = 100_000
"""A Hub that somebody left running forgets requests older than that many."""


def matches(path: str, pattern: str) -> bool:
    """Whether a request's path ends with what a shell pattern describes.

    The path is decoded and without its query. `*.parquet`, `data/train-*.parquet` and `/api/datasets/user/name/*` all
    work. The second origin repeats a file's path in its own addresses, so that one pattern holds for both.
    """
    return fnmatchcase(path, f"*{pattern}")


class Request(NamedTuple):
    """One request as the Hub saw it.

    Attributes:
        method: GET, HEAD or POST.
        origin: `hub`, or `cdn` for the second origin.
        path: Decoded path without the query.
        headers: The client's headers, names in lower case.
        status: The answer's status; 0 where there was none (yet).
        bytes_sent: Bytes of the answer's body so far.
        range: The Range header, or None.
        time_started: Monotonic seconds.
        time_ended: Monotonic seconds, or None while it is going on.
        query: The query as it came.
    """

    method: str
    origin: Origin
    path: str
    headers: dict[str, str]
    status: int
    bytes_sent: int
    range: str | None
    time_started: float
    time_ended: float | None
    query: str


@dataclass
class Exchange:
    """A request that is being answered; the transport keeps it up to date."""

    method: str
    origin: Origin
    path: str
    query: str
    headers: dict[str, str]
    status: int = 0
    bytes_sent: int = 0
    time_started: float = field(default_factory=time.monotonic)
    time_ended: float | None = None

    def finish(self, bytes_sent: int | None = None) -> None:
        """Mark the end, if that has not been done.

        Called just before the client is given the last of the answer: what the client does next must not begin
        before the end of this, or requests one after the other would look like two at once.
        """
        if self.time_ended is None:
            self.bytes_sent = self.bytes_sent if bytes_sent is None else bytes_sent
            self.time_ended = time.monotonic()

    def snapshot(self) -> Request:
        """The request as it is now."""
        return Request(
            self.method,
            self.origin,
            self.path,
            self.headers,
            self.status,
            self.bytes_sent,
            self.headers.get("range"),
            self.time_started,
            self.time_ended,
            self.query,
        )


class RequestLog:
    """Every request, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: deque[Exchange] = deque(maxlen=KEPT)

    def add(self, exchange: Exchange) -> None:
        """Take in a request that has begun."""
        with self._lock:
            self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._exchanges.clear()

    def snapshot(self, path_pattern: str = "*") -> list[Request]:
        """The requests whose path fits the pattern, also those still going on."""
        with self._lock:
            return [exchange.snapshot() for exchange in self._exchanges if matches(exchange.path, path_pattern)]

    def largest_number_at_once(self, path_pattern: str) -> int:
        """How many of the fitting requests were going on at the same time at most."""
        changes: list[tuple[float, int]] = []
        for request in self.snapshot(path_pattern):
            changes.append((request.time_started, 1))
            if request.time_ended is not None:
                changes.append((request.time_ended, -1))
        at_once = largest = 0
        for _, change in sorted(changes):
            at_once += change
            largest = max(largest, at_once)
        return largest
