"""Fixtures of the local Hub's own tests."""

from __future__ import annotations

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.stock import lfs_link, stock


@pytest.fixture
def stocked(hub: HubServer) -> HubServer:
    """A Hub with one dataset."""
    stock(hub)
    return hub


@pytest.fixture
def link(hub: HubServer) -> str:
    """The link to an LFS file of the Hub's only dataset."""
    return lfs_link(hub)
