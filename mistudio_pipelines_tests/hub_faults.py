"""What goes wrong at the local Hub on purpose, and the record of every request.

What belongs here: the list of faults that tests set, and the log of requests with its questions. What does not:
how a fault is carried out on the wire (`hub_transport.py`).

Patterns are shell patterns over the decoded path of a request without its query, matched at its end: `*.parquet`,
`data/train-*.parquet`, `/api/datasets/user/name/*` all work. The second origin repeats the file's path in its own
addresses, so that one pattern holds for both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from mistudio_pipelines_tests.hub_repositories import Blob, Content

Origin = Literal["hub", "cdn"]


def matches(path: str, pattern: str) -> bool:
    """Whether a request's decoded path ends with what the shell pattern describes."""
    return fnmatchcase(path, f"*{pattern}")


class Refusal(NamedTuple):
    """An error answer in place of the real one; status 0 closes the connection without any answer."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class BodyFaults:
    """What happens to the body of one answer."""

    cut_after: int | None = None
    stall_after: int | None = None
    stall_seconds: float = 0.0
    corrupt: bool = False
    bytes_per_second: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the bytes go out as they are, as fast as they can."""
        return self == BodyFaults()


_PLAIN = vars(BodyFaults())


@dataclass
class _Fault:
    pattern: str
    what: BodyFaults | Refusal | Blob
    times: int | None
    method: str | None = None
    origin: Origin | None = None


class Faults:
    """The faults that are set; each is used up after `times` answers (None: until `clear`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def cut_after(self, path_pattern: str, bytes: int, times: int | None = 1) -> None:
        """Close the connection after that many bytes of a body."""
        self._add(_Fault(path_pattern, BodyFaults(cut_after=bytes), times))

    def stall(self, path_pattern: str, bytes: int, seconds: float, times: int | None = 1) -> None:
        """Send that many bytes of a body, then nothing for a while, then the rest."""
        self._add(_Fault(path_pattern, BodyFaults(stall_after=bytes, stall_seconds=seconds), times))

    def slow(self, path_pattern: str, bytes_per_second: float, times: int | None = None) -> None:
        """Send bodies at that speed, each answer for itself."""
        self._add(_Fault(path_pattern, BodyFaults(bytes_per_second=bytes_per_second), times))

    def corrupt(self, path_pattern: str, times: int | None = 1) -> None:
        """Send bodies of the right length with one wrong byte in the middle."""
        self._add(_Fault(path_pattern, BodyFaults(corrupt=True), times))

    def fail(
        self,
        path_pattern: str,
        status: int,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Answer with an error status and these headers, whatever was asked."""
        self._add(_Fault(path_pattern, Refusal(status, dict(headers or {})), times, method, origin))

    def drop(self, path_pattern: str, times: int | None = 1, *, origin: Origin | None = None) -> None:
        """Close the connection without an answer."""
        self._add(_Fault(path_pattern, Refusal(0, {}), times, None, origin))

    def rate_limit(self, path_pattern: str, seconds: int, times: int | None = 1) -> None:
        """Answer 429 with the Hub's RateLimit headers (huggingface.co/docs/hub/rate-limits)."""
        headers = {"RateLimit": f'"api";r=0;t={seconds}', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
        self.fail(path_pattern, 429, times, headers)

    def swap_content(self, path_pattern: str, new_bytes: Content) -> None:
        """Let files change under the same revision: new bytes, size, hashes and ETag, the same commit."""
        self._add(_Fault(path_pattern, Blob.of(new_bytes), None))

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take_refusal(self, method: str, origin: Origin, path: str) -> Refusal | None:
        """The error that this request gets, if any; counts as one use."""
        with self._lock:
            for fault in self._faults:
                if (
                    isinstance(fault.what, Refusal)
                    and fault.method in (None, method)
                    and fault.origin in (None, origin)
                    and matches(path, fault.pattern)
                ):
                    self._use(fault)
                    return fault.what
        return None

    def take_body_faults(self, path: str) -> BodyFaults:
        """All that happens to the body of this answer; each fault counts as used once."""
        taken = BodyFaults()
        with self._lock:
            for fault in list(self._faults):
                if isinstance(fault.what, BodyFaults) and matches(path, fault.pattern):
                    changes = {name: value for name, value in vars(fault.what).items() if value != _PLAIN[name]}
                    if all(getattr(taken, name) == _PLAIN[name] for name in changes):
                        taken = replace(taken, **changes)
                        self._use(fault)
        return taken

    def swapped(self, path: str) -> Blob | None:
        """The bytes that have replaced a file's, if any."""
        with self._lock:
            found = [f.what for f in self._faults if isinstance(f.what, Blob) and matches(path, f.pattern)]
        return found[-1] if found else None

    def _use(self, fault: _Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)


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
        self._exchanges: list[Exchange] = []

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
