"""Progress of a run where people and tools see it: run tags at most once a second, log lines every tenth.

What belongs here: throttling and writing. The arithmetic and the wording are `mistudio_pipelines/progress.py`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

import dagster as dg

from mistudio_pipelines.defs.names import PROGRESS_DATA_TAG, PROGRESS_TAG
from mistudio_pipelines.progress import Progress, RateMeter, progress_line

_SECONDS_BETWEEN_TAGS = 1.0
_PERCENT_BETWEEN_LOG_LINES = 10
_SECONDS_BETWEEN_LOG_LINES_WITHOUT_TOTAL = 30.0


def progress_data(progress: Progress, rate: float | None) -> str:
    """Progress as JSON for tools: `{"done", "total", "unit", "stage", "percent", "rate", "seconds_left"}`."""
    left = None
    if rate and progress.total is not None:
        left = round(max(0, progress.total - progress.done) / rate, 1)
    percent = progress.percent
    return json.dumps(
        {
            "done": progress.done,
            "total": progress.total,
            "unit": progress.unit,
            "stage": progress.stage,
            "percent": None if percent is None else round(percent, 1),
            "rate": None if rate is None else round(rate, 1),
            "seconds_left": left,
        }
    )


class RunProgress:
    """A progress callback that writes to a run.

    Safe to call from several threads and as often as one likes.

    Args:
        instance: Where the run is.
        run_id: The run.
        log: The run's log.
        clock: Monotonic clock, in seconds.

    Attributes:
        bytes_done: The largest number of bytes that was reported, or None where nothing counted bytes.
    """

    bytes_done: int | None = None

    def __init__(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._run_id = run_id
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._meters: dict[tuple[str, str], RateMeter] = {}
        self._last_tag_at = float("-inf")
        self._last_log: tuple[str, float, float] = ("", 0.0, float("-inf"))

    def __call__(self, progress: Progress) -> None:
        """Take in the newest progress; write it where it is time to."""
        with self._lock:
            if progress.unit == "bytes":
                self.bytes_done = max(self.bytes_done or 0, progress.done)
            rate = self._rate(progress)
            self._write_tag(progress, rate)
            self._write_log(progress, rate)

    def _rate(self, progress: Progress) -> float | None:
        meter = self._meters.setdefault((progress.stage, progress.unit), RateMeter(clock=self._clock))
        return meter.update(progress.done)

    def _write_tag(self, progress: Progress, rate: float | None) -> None:
        now = self._clock()
        finished = progress.total is not None and progress.done >= progress.total
        if now - self._last_tag_at < _SECONDS_BETWEEN_TAGS and not finished:
            return
        self._last_tag_at = now
        self._instance.add_run_tags(
            self._run_id,
            {PROGRESS_TAG: progress_line(progress, rate), PROGRESS_DATA_TAG: progress_data(progress, rate)},
        )

    def _write_log(self, progress: Progress, rate: float | None) -> None:
        stage, percent, at = self._last_log
        now = self._clock()
        if progress.percent is None:
            due = progress.stage != stage or now - at >= _SECONDS_BETWEEN_LOG_LINES_WITHOUT_TOTAL
        else:
            due = progress.stage != stage or progress.percent - percent >= _PERCENT_BETWEEN_LOG_LINES
        if due:
            self._last_log = (progress.stage, progress.percent or 0.0, now)
            self._log.info(progress_line(progress, rate))
