"""What every endpoint and page works with: the data folder, the instance, and what is kept warm between requests.

What belongs here: holding these together and running blocking work beside the event loop. What does not: answering.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from mistudio_pipelines.api.dagster_runs import DagsterRuns
from mistudio_pipelines.api.events import Streams
from mistudio_pipelines.api.rate_limit import DownloadLimit
from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines.api.snapshots import Snapshots
from mistudio_pipelines.api.uploads import Uploads
from mistudio_pipelines.api.warm_browsers import WarmBrowsers
from mistudio_pipelines.store.layout import DataStore

if TYPE_CHECKING:
    import dagster as dg

Value = TypeVar("Value")

# Pages of samples are work for the processor: more at once would only make each of them slower.
_PAGES_AT_ONCE = 4
_QUICK_AT_ONCE = 8
# Waiting for the Hub, for a run, for a tokenizer: must not keep anybody else waiting.
_SLOW_AT_ONCE = 16
_TOKENIZERS_AT_ONCE = 1


class ApiContext:
    """Everything that is shared by the requests of one application.

    Args:
        settings: Of the API.
        instance: Dagster's; opened from the home where it is not given.
    """

    def __init__(self, settings: ApiSettings, instance: dg.DagsterInstance | None = None) -> None:
        from mistudio_pipelines.defs.instance import open_instance

        self._resources = ExitStack()
        if instance is None:
            instance = self._resources.enter_context(open_instance(settings.home))
        self.settings = settings
        self.store = DataStore(settings.data_folder)
        self.instance = instance
        self.snapshots = Snapshots(instance, self.store)
        self.browsers = WarmBrowsers(self.store)
        self.runs = DagsterRuns(instance, settings.home, settings.dagster_url)
        self.downloads = DownloadLimit(settings.downloads_per_hour)
        self.uploads = Uploads(self.store, settings.upload_limit_bytes)
        self.streams = Streams()
        self._pages = anyio.CapacityLimiter(_PAGES_AT_ONCE)
        self._quick = anyio.CapacityLimiter(_QUICK_AT_ONCE)
        self._slow = anyio.CapacityLimiter(_SLOW_AT_ONCE)
        self._tokenizers = anyio.CapacityLimiter(_TOKENIZERS_AT_ONCE)

    def close(self) -> None:
        """Let everything go."""
        self.streams.closing = True
        self.browsers.close()
        self._resources.close()

    async def quickly(self, work: Callable[[], Value]) -> Value:
        """Do what takes milliseconds and waits for the disk."""
        return await anyio.to_thread.run_sync(work, limiter=self._quick)

    async def page(self, work: Callable[[], Value]) -> Value:
        """Read a page of samples."""
        return await anyio.to_thread.run_sync(work, limiter=self._pages)

    async def slowly(self, work: Callable[[], Value]) -> Value:
        """Do what waits for the Hub or for Dagster."""
        return await anyio.to_thread.run_sync(work, limiter=self._slow, abandon_on_cancel=True)

    async def tokenizing(self, work: Callable[[], Value]) -> Value:
        """Do what loads a tokenizer: one at a time, they take memory."""
        return await anyio.to_thread.run_sync(work, limiter=self._tokenizers)


async def get_context(request: Request) -> ApiContext:
    """The context of the application that serves a request."""
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(get_context)]
