"""Fixtures that every part of the tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mistudio_pipelines_tests.hub_server import HubServer


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A local Hub, empty, for this test alone."""
    with HubServer() as server:
        yield server
