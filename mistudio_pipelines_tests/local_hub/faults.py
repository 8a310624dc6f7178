"""What goes wrong at the local Hub on purpose.

What belongs here: the list of faults that tests set, and which of them a request gets. What does not: how a fault is
carried out on the wire (`transport.py`). `requests.matches` says what a path pattern is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from mistudio_pipelines_tests.local_hub.repositories import Blob, Content
from mistudio_pipelines_tests.local_hub.requests import Origin, matches


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

    @property
    def has_swaps(self) -> bool:
        """Whether any content is swapped: a quick answer for the usual case."""
        return any(isinstance(fault.what, Blob) for fault in list(self._faults))

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
