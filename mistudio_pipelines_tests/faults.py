"""Counts the faults that tests cause, and prints at the end what was tried, survived and lost.

A pytest plugin (`-p` in pyproject.toml). A test takes the fixture `faults`, names every fault that it causes, and says
`survived` once it has proved that all is well; where it fails before, its faults count as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

_PROPERTY = "faults"
_tried: Counter[str] = Counter()
_survived: Counter[str] = Counter()


class Faults:
    """The faults of one test."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.proved: Counter[str] = Counter()

    def cause(self, kind: str, times: int = 1) -> None:
        """Count a fault of some kind, for example `kill of the daemon`."""
        self.tried[kind] += times

    def survived(self) -> None:
        """Everything caused so far did no harm; proved by the assertions before."""
        self.proved = self.tried.copy()


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Iterator[Faults]:
    found = Faults()
    yield found
    # Plain values: a test process of pytest-xdist sends them to the one that prints.
    request.node.user_properties.append((_PROPERTY, [dict(found.tried), dict(found.proved)]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == _PROPERTY and isinstance(value, list):
                _tried.update(value[0])
                _survived.update(value[1])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _tried:
        return
    terminalreporter.section("faults caused on purpose: tried, survived, lost")
    for kind, count in sorted(_tried.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{count:5} {_survived[kind]:5} {count - _survived[kind]:5}  {kind}")
    total, proved = _tried.total(), _survived.total()
    terminalreporter.write_line(f"{total:5} {proved:5} {total - proved:5}  in all")
