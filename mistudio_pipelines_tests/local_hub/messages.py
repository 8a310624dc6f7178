"""Requests to the local Hub and its answers, free of sockets.

What belongs here: the plain values that `protocol.py` turns into each other and that `transport.py` reads and
writes. What does not: deciding an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, quote

from mistudio_pipelines_tests.local_hub.repositories import Blob


@dataclass(frozen=True)
class Question:
    """A request.

    Attributes:
        method: GET, HEAD or POST.
        path: Still percent-encoded: a revision may contain an encoded slash.
        query: Without the question mark.
        headers: Names in lower case.
        body: Of a POST.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters."""
        return parse_qs(self.query, keep_blank_values=True)

    def parameter(self, name: str, default: str) -> str:
        """The last value of a parameter."""
        return self.parameters.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """Whether a parameter says true."""
        return self.parameter(name, "false").lower() in ("true", "1")

    @property
    def token(self) -> str | None:
        """The token of the Authorization header."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" and token else None

    @property
    def form(self) -> dict[str, list[str]]:
        """The fields of a posted form or of a JSON object, each as a list of strings.

        Raises:
            ValueError: The body is neither.
        """
        if not self.headers.get("content-type", "").startswith("application/json"):
            return parse_qs(self.body.decode(), keep_blank_values=True)
        fields = json.loads(self.body)
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")
        return {
            name: [str(each) for each in (value if isinstance(value, list) else [value])]
            for name, value in fields.items()
        }


@dataclass(frozen=True)
class Answer:
    """Status, headers and body; of a `Blob` a client may ask for a range."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Blob = b""


def json_answer(value: Any, **headers: str) -> Answer:
    """A JSON body."""
    return Answer(200, {"Content-Type": "application/json; charset=utf-8", **headers}, json.dumps(value).encode())


def xml_error(status: int, code: str, message: str) -> Answer:
    """An error as object stores word it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


class HubError(Exception):
    """An error as the Hub words it: `X-Error-Code` is what `huggingface_hub` makes its exceptions from.

    Args:
        status: The status of the answer.
        code: `RepoNotFound`, `RevisionNotFound`, `EntryNotFound`, `GatedRepo`, or None.
        message: For people.
        headers: More headers of the answer.
    """

    def __init__(self, status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    def answer(self) -> Answer:
        """The answer that says so."""
        # A message repeats what the client asked for, which may hold anything: a header may not.
        headers = {"X-Error-Message": quote(self.message, safe=" !#$&'()*+,/:;=?@[]\"<>{}|"), **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        answer = json_answer({"error": self.message}, **headers)
        return Answer(self.status, answer.headers, answer.body)
