"""One application with one dataset for all tests of a module; its pages only look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines_tests.api.conftest import make_client, make_ready, open_workshop
from mistudio_pipelines_tests.browser import NOT_FOUND, find_browser, running_browser
from mistudio_pipelines_tests.defs.conftest import Workshop

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with open_workshop(tmp_path_factory.mktemp("panel")) as opened:
        yield opened


@pytest.fixture(scope="module")
def settings(workshop: Workshop) -> ApiSettings:
    return ApiSettings(data_folder=workshop.store.root, home=workshop.folder.parent / "home")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window; tests that need one are skipped where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip(NOT_FOUND)
    pytest.importorskip("playwright", reason="playwright is not installed")
    with running_browser(path) as running:
        yield running


@pytest.fixture(scope="module")
def client(workshop: Workshop, settings: ApiSettings, ready_dataset: str) -> Iterator[TestClient]:
    with make_client(settings, workshop) as opened:
        yield opened


@pytest.fixture(scope="module")
def ready_dataset(workshop: Workshop) -> str:
    """A dataset that was taken through download and ingestion."""
    return make_ready(workshop)
