"""What requests share: snapshots, warm browsers, the limit of downloads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from mistudio_pipelines.api.rate_limit import SECONDS, DownloadLimit
from mistudio_pipelines.api.snapshots import FRESH_SECONDS, USABLE_SECONDS, Snapshots
from mistudio_pipelines.api.warm_browsers import WarmBrowsers
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.text.browsing import SampleQuery
from mistudio_pipelines_tests.defs.conftest import Workshop


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_limit_counts_the_last_hour() -> None:
    clock = Clock()
    limit = DownloadLimit(2, clock)
    for moment in (0.0, 100.0):
        clock.now = moment
        with limit.one():
            pass
    clock.now = 200.0
    with pytest.raises(MistudioError) as refused, limit.one():
        pass
    assert refused.value.details == {"limit": 2, "retry_after_seconds": SECONDS - 200}
    clock.now = SECONDS
    with limit.one():
        pass
    with pytest.raises(MistudioError), limit.one():
        pass


def test_no_limit_is_no_limit() -> None:
    limit = DownloadLimit(0)
    for _ in range(100):
        with limit.one():
            pass


def test_a_snapshot_is_shared_while_it_is_fresh_and_read_again_after_a_change(workshop: Workshop) -> None:
    clock = Clock()
    snapshots = Snapshots(workshop.instance, workshop.store, clock)

    async def look() -> None:
        first = await snapshots.get()
        clock.now += FRESH_SECONDS / 2
        assert await snapshots.get() is first
        clock.now += FRESH_SECONDS  # a little old: shown at once, while a new one is read
        assert await snapshots.get() is first
        await asyncio.sleep(0)
        assert snapshots._refresh is not None
        second = await snapshots._refresh
        assert await snapshots.get() is second
        clock.now += 0.01
        snapshots.expire()
        clock.now += 0.01
        third = await snapshots.get()
        assert third is not second
        clock.now += USABLE_SECONDS + 0.1
        assert await snapshots.get() is not third

    asyncio.run(look())


def test_only_so_many_browsers_are_open_and_none_is_closed_while_it_is_used(workshop: Workshop) -> None:
    ids = []
    for name in ("a", "b", "c"):
        dataset_id = workshop.add(workshop.write_texts(f"{name}.jsonl", [f"text of {name}"] * 20))
        assert workshop.run("download", dataset_id).success
        assert workshop.run("ingest", dataset_id).success
        ids.append(dataset_id)
    browsers = WarmBrowsers(workshop.store, most=2)

    def look(number: int) -> int:
        with browsers.open(ids[number % 3]) as browser:
            found = browser.browse(SampleQuery(search="text")).total
        if number % 7 == 0:
            browsers.forget(ids[number % 3])
        return found

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(look, range(120))) == {20}
    assert len(browsers) <= 2
    with browsers.open(ids[0]) as browser:
        browsers.forget(ids[0])
        assert browser.browse(SampleQuery(search="text")).total == 20
    browsers.close()
    assert len(browsers) == 0
