"""How many downloads may be started in an hour."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import format_seconds

SECONDS = 3600.0
_RETRY_AFTER = "retry_after_seconds"


def retry_headers(error: MistudioError) -> dict[str, str]:
    """The header that says when to try again, where an error knows."""
    wait = error.details.get(_RETRY_AFTER)
    return {} if wait is None else {"Retry-After": str(wait)}


class DownloadLimit:
    """Counts what was started within the last hour; safe to use from several threads.

    Args:
        most: How many may be started in an hour; 0: any number.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._started: deque[float] = deque()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one download; it does not count where the block raises, because then nothing was started.

        Raises:
            MistudioError: `too_many_requests`; its details say in how many seconds the next one may be started.
        """
        moment = self._take()
        try:
            yield
        except BaseException:
            with self._lock:
                if moment in self._started:
                    self._started.remove(moment)
            raise

    def _take(self) -> float:
        with self._lock:
            now = self._clock()
            while self._started and self._started[0] <= now - SECONDS:
                self._started.popleft()
            if self._most and len(self._started) >= self._most:
                wait = math.ceil(self._started[0] + SECONDS - now)
                started = "1 download was" if self._most == 1 else f"{self._most} downloads were"
                raise MistudioError(
                    ErrorCode.TOO_MANY_REQUESTS,
                    f"{started} started in the last hour, which is the limit.",
                    f"Try again in {format_seconds(wait)}.",
                    transient=True,
                    details={"limit": self._most, _RETRY_AFTER: wait},
                )
            self._started.append(now)
            return now
