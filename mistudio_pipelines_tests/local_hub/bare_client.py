"""A bare HTTP client, to see the local Hub's answers as they are.

What belongs here: single requests and the Hub's addresses. What does not: anything that follows, retries or resumes.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from mistudio_pipelines_tests.hub_server import HubServer


@dataclass(frozen=True)
class Reply:
    """What came back: header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: str | None = None, token: str | None = None, **headers: str) -> Reply:
    """One request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, sent)
    answer = connection.getresponse()
    reply = Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return reply


def resolve(hub: HubServer, path: str, revision: str = "main", repository_id: str = "user/name") -> str:
    """The address of a dataset's file."""
    return f"{hub.endpoint}/datasets/{repository_id}/resolve/{quote(revision, safe='')}/{quote(path)}"


def api(hub: HubServer, rest: str) -> str:
    """An address of the API about datasets."""
    return f"{hub.endpoint}/api/datasets/{rest}"


def received_until_cut(url: str, **headers: str) -> bytes:
    """What comes before a connection ends early; fails where it does not."""
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(url, **headers)
    return cut.value.partial
