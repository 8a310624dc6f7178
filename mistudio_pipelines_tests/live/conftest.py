"""One running installation for all live tests of a module; starting it costs ten seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.live.stack import Stack, start_stack


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running installation that downloads from an empty local Hub, on the database that `databases` names."""
    database = None
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres").make_database()
    before = dict(os.environ)
    with HubServer() as hub:
        running = start_stack(tmp_path_factory.mktemp("installation"), hub, database)
        try:
            yield running
        finally:
            running.stop()
            os.environ.clear()
            os.environ.update(before)
