"""A cap on bytes per second, shared by all connections of a download."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.25


class Throttle:
    """A token bucket that lets debts be made: whoever took too much waits.

    Args:
        bytes_per_second: The cap, or None for none.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, bytes_per_second: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("bytes_per_second must be positive")
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock()

    def take(self, count: int, sleep: Callable[[float], None]) -> None:
        """Account for bytes that were received, and wait as long as they exceed the cap."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _BURST_SECONDS) + count / self._rate
            wait = self._paid_until - now
        if wait > 0:
            sleep(wait)
