"""How far a piece of work is: plain values, a smoothed rate, and the one line that people read.

What belongs here: pure progress arithmetic used by downloading, ingestion, tokenization, the run tags and the
terminal. What does not: writing it anywhere (`defs/progress.py`, the command).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Unit = Literal["bytes", "rows", "tokens"]


@dataclass(frozen=True)
class Progress:
    """How much of a piece of work is done.

    Attributes:
        done: Units finished so far.
        total: Units in all, or None where that is not known.
        unit: What is counted.
        stage: A few words on what is happening, for example `downloading` or `writing shards`.
    """

    done: int
    total: int | None
    unit: Unit = "bytes"
    stage: str = ""

    @property
    def percent(self) -> float | None:
        """0 to 100, or None where the total is not known."""
        if self.total is None:
            return None
        if self.total <= 0:
            return 100.0
        return min(100.0, 100.0 * self.done / self.total)


ProgressCallback = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


def ignore_progress(progress: Progress) -> None:
    """A progress callback that does nothing."""


def never_stop() -> bool:
    """A `should_stop` that never stops."""
    return False


class RateMeter:
    """An exponentially smoothed rate: recent seconds weigh more, single bursts do not make it jump.

    Args:
        half_life: Seconds after which an observation weighs half.
        clock: Monotonic clock, in seconds.
    """

    def __init__(self, half_life: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._half_life = half_life
        self._clock = clock
        self._last: tuple[float, int] | None = None
        self._weighted_units = 0.0
        self._weighted_seconds = 0.0

    def update(self, done: int) -> float | None:
        """Take in the current count and return units per second (None until two observations exist)."""
        now = self._clock()
        if self._last is None:
            self._last = (now, done)
            return None
        then, before = self._last
        seconds = now - then
        if seconds > 0:
            keep = math.pow(0.5, seconds / self._half_life)
            self._weighted_units = self._weighted_units * keep + max(0, done - before)
            self._weighted_seconds = self._weighted_seconds * keep + seconds
            self._last = (now, done)
        return self._weighted_units / self._weighted_seconds if self._weighted_seconds else None


def format_bytes(count: float) -> str:
    """Bytes as people write them: `800 MB`, `2.3 GB` (powers of 1000, as the Hub shows sizes)."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g} {unit}" if count < size * 999.5 else f"{count / size:.0f} {unit}"
    return f"{count:.0f} B"


def format_seconds(seconds: float) -> str:
    """Seconds as people say them: `42s`, `1m40s`, `3h05m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def format_count(count: float, unit: Unit) -> str:
    """A count with its unit: bytes as sizes, others with thousands separators."""
    return format_bytes(count) if unit == "bytes" else f"{count:,.0f} {unit}"


def progress_line(progress: Progress, rate: float | None) -> str:
    """The one line a person reads: `45% 1.2 GB of 2.6 GB 14 MB/s 1m40s left`."""
    percent = progress.percent
    parts = [progress.stage] if progress.stage else []
    if percent is None or progress.total is None:
        parts.append(format_count(progress.done, progress.unit))
    else:
        # Never "100 %" while something is left to do.
        shown = 100 if progress.done >= progress.total else min(99, int(percent))
        parts.append(f"{shown}%")
        parts.append(f"{format_count(progress.done, progress.unit)} of {format_count(progress.total, progress.unit)}")
    if rate:
        parts.append(f"{format_count(rate, progress.unit)}/s")
        if progress.total is not None and progress.done < progress.total:
            parts.append(f"{format_seconds((progress.total - progress.done) / rate)} left")
    return " ".join(parts)
