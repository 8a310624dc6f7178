"""The list of datasets as it was a moment ago, shared by everybody who asks at the same time.

Reading it costs tens of milliseconds for a thousand datasets, so fifty clients must not each pay for it. What belongs
here: when it is read again. What does not: what it says (`defs/status.py`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.defs.history import AttemptRun, History
    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.store.layout import DataStore

FRESH_SECONDS = 0.7
USABLE_SECONDS = 1.8
# A slow machine is not kept busy with reading: that takes a fifth of the time at most.
_FRESH_READINGS = 5
_USABLE_READINGS = 9
# Older than that it is never shown, however long reading takes.
_OLDEST_SECONDS = 10.0
_MOST_ANSWERS = 500


@dataclass(frozen=True)
class Snapshot:
    """Every dataset at one moment.

    Attributes:
        overviews: Most recent first.
        history: What Dagster knew of them.
        taken: When reading began, on the monotonic clock.
        answers: What was answered from it, by what was asked.
    """

    overviews: tuple[DatasetOverview, ...]
    history: History
    taken: float = field(default_factory=time.monotonic)
    answers: dict[Hashable, bytes] = field(default_factory=dict)

    def answer(self, asked: Hashable, make: Callable[[], BaseModel]) -> bytes:
        """An answer as JSON, made once for all who ask the same.

        Args:
            asked: What it answers.
            make: Makes it.
        """
        known = self.answers.get(asked)
        if known is None:
            if len(self.answers) >= _MOST_ANSWERS:
                self.answers.clear()
            known = self.answers[asked] = make().model_dump_json().encode()
        return known

    @cached_property
    def by_id(self) -> dict[str, DatasetOverview]:
        """The datasets by id."""
        return {one.record.id: one for one in self.overviews}

    @cached_property
    def attempts_by_run(self) -> dict[str, AttemptRun]:
        """What has not led to a result (yet), by the id of its run."""
        assets = (self.history.raw, self.history.statistics, self.history.tokenized)
        return {attempt.run.run_id: attempt for asset in assets for attempt in asset.attempts.values()}


class Snapshots:
    """Reads snapshots, one at a time.

    Args:
        instance: Where the runs are.
        store: Where the files are.
        clock: Monotonic clock, in seconds.
    """

    def __init__(
        self, instance: dg.DagsterInstance, store: DataStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._instance = instance
        self._store = store
        self._clock = clock
        self._reading = threading.Lock()
        self._newest: Snapshot | None = None
        self._needed_since = float("-inf")
        self._refresh: asyncio.Future[Snapshot] | None = None
        self._seconds_to_read = 0.0

    def expire(self) -> None:
        """Something was changed: whoever asks from now on sees it."""
        self._needed_since = self._clock()

    async def get(self, *, most_seconds_old: float | None = None) -> Snapshot:
        """A snapshot; one that is only a little old is given at once while a new one is being read.

        Args:
            most_seconds_old: How old it may be; None: as old as it takes to keep the machine free.
        """
        newest = self._newest
        now = self._clock()
        if most_seconds_old is None:
            most_seconds_old = min(_OLDEST_SECONDS, max(USABLE_SECONDS, _USABLE_READINGS * self._seconds_to_read))
        if newest is None or newest.taken < self._needed_since or now - newest.taken > most_seconds_old:
            return await asyncio.to_thread(self.read)
        fresh_seconds = max(FRESH_SECONDS, _FRESH_READINGS * self._seconds_to_read)
        if now - newest.taken > fresh_seconds and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.get_running_loop().run_in_executor(None, self.read)
        return newest

    def read(self) -> Snapshot:
        """Read a snapshot, or take the one that somebody else has read since this was called."""
        from mistudio_pipelines.defs.history import read_history
        from mistudio_pipelines.defs.status import overviews_of

        asked = self._clock()
        with self._reading:
            if self._newest is not None and self._newest.taken >= asked:
                return self._newest
            began = self._clock()
            history = read_history(self._instance)
            self._newest = Snapshot(tuple(overviews_of(self._store, history)), history, began)
            self._seconds_to_read = self._clock() - began
            return self._newest
