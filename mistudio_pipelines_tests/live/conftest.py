"""One running installation for all live tests of a module; starting it costs ten seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.live.stack import Stack, start_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running installation that downloads from an empty local Hub."""
    before = dict(os.environ)
    with HubServer() as hub:
        running = start_stack(tmp_path_factory.mktemp("installation"), hub)
        try:
            yield running
        finally:
            running.stop()
            os.environ.clear()
            os.environ.update(before)
