"""The list of datasets as it was a moment ago, shared by everybody who asks at the same time.

Reading it costs tens of milliseconds for a thousand datasets, so fifty clients must not each pay for it. What belongs
here: when it is read again. What does not: what it says (`defs/status.py`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    from mistudio_pipelines.defs.history import AttemptRun, History
    from mistudio_pipelines.defs.status import DatasetOverview
    from mistudio_pipelines.store.layout import DataStore

FRESH_SECONDS = 0.7
# Older than that it is not shown, however long reading takes.
USABLE_SECONDS = 1.8


@dataclass(frozen=True)
class Snapshot:
    """Every dataset at one moment.

    Attributes:
        overviews: Most recent first.
        history: What Dagster knew of them.
        taken: When reading began, on the monotonic clock.
    """

    overviews: tuple[DatasetOverview, ...]
    history: History
    taken: float = field(default_factory=time.monotonic)

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

    def expire(self) -> None:
        """Something was changed: whoever asks from now on sees it."""
        self._needed_since = self._clock()

    async def get(self, *, most_seconds_old: float = USABLE_SECONDS) -> Snapshot:
        """A snapshot; one that is only a little old is given at once while a new one is being read.

        Args:
            most_seconds_old: How old it may be.
        """
        newest = self._newest
        now = self._clock()
        if newest is None or newest.taken < self._needed_since or now - newest.taken > most_seconds_old:
            return await asyncio.to_thread(self.read)
        if now - newest.taken > FRESH_SECONDS and (self._refresh is None or self._refresh.done()):
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
            return self._newest
