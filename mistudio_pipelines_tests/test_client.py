"""What the client decides by itself. That it speaks with a real webserver is tested in `live/test_graphql.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mistudio_pipelines import client as client_module
from mistudio_pipelines.client import MistudioClient
from mistudio_pipelines.errors import MistudioError


class ClientOfARun(MistudioClient):
    """Dagster's answers about one run whose status changes with every question."""

    def __init__(self, *statuses: str) -> None:
        super().__init__("http://127.0.0.1:1")
        self._statuses = iter(statuses)

    def query(self, name: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        status = next(self._statuses)
        if name == "run_status":
            run = {"runId": "r", "status": status, "jobName": "download", "assetSelection": None, "tags": []}
            return {"runOrError": {"__typename": "Run", **run}}
        if status in ("QUEUED", "STARTED"):
            return {"terminateRun": {"__typename": "TerminateRunSuccess"}}
        message = f"Run r could not be terminated due to having status {status}."
        return {"terminateRun": {"__typename": "TerminateRunFailure", "message": message}}


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_SECONDS_BETWEEN_LOOKS", 0)


@pytest.mark.parametrize(
    "statuses",
    [
        ("STARTED", "STARTED"),
        ("QUEUED", "QUEUED"),
        ("STARTING", "STARTING", "STARTING", "STARTING", "STARTING", "STARTED"),
        # It starts between the refusal and the next look.
        ("STARTING", "STARTING", "STARTED", "STARTED"),
        # It begins to start between the first look and the attempt, and has started before the second look.
        ("QUEUED", "STARTING", "STARTED", "STARTED"),
    ],
)
def test_a_run_is_cancelled_however_it_comes_to_start_meanwhile(statuses: tuple[str, ...]) -> None:
    client = ClientOfARun(*statuses)
    client.cancel("r")
    assert list(client._statuses) == []


def test_cancelling_a_run_that_ends_by_itself_says_so() -> None:
    with pytest.raises(MistudioError, match="having status SUCCESS"):
        ClientOfARun("STARTING", "SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS").cancel("r")
    with pytest.raises(MistudioError, match="having status SUCCESS"):
        ClientOfARun("STARTED", "SUCCESS", "SUCCESS").cancel("r")


def test_a_run_that_does_not_start_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_SECONDS_TO_START", 0)
    with pytest.raises(MistudioError, match="having status STARTING"):
        ClientOfARun(*["STARTING"] * 9).cancel("r")
