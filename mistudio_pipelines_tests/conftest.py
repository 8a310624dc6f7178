"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.postgres import NOT_FOUND, PostgresServer, find_programs, running_postgres


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A local Hub, empty, for this test alone."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server without databases; tests that need one are skipped where there is none."""
    programs = find_programs()
    if programs is None:
        pytest.skip(NOT_FOUND)
    with running_postgres(programs) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a running installation on SQLite, and on the databases that their module asks for besides.

    MISTUDIO_TEST_DATABASES (`sqlite`, `postgresql` or both with a comma) chooses for all of them.
    """
    if "stack" not in metafunc.fixturenames:
        return
    chosen = os.environ.get("MISTUDIO_TEST_DATABASES")
    marker = metafunc.definition.get_closest_marker("databases")
    databases = chosen.split(",") if chosen else marker.args if marker else ("sqlite",)
    metafunc.parametrize("stack", databases, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of running installations come first: a worker that gets one last would keep the whole run waiting."""
    items.sort(key=lambda item: item.get_closest_marker("live") is None)
