"""Errors as people get them: one sentence and the next step, as a page; programs get the envelope of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mistudio_pipelines.api.settings import ApiSettings
from mistudio_pipelines_tests.api.conftest import make_client
from mistudio_pipelines_tests.defs.conftest import Workshop

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
FRAGMENT = {"HX-Request": "true"}
HOSTILE = "<script>alert(1)</script>"
SECRET = "hf_" + "inTheMiddleOfAFailure"

REFUSED = [
    ({"origin": "https://evil.example"}, "Requests from other sites are refused.", "panel&#39;s own pages"),
    ({"origin": f"https://{HOSTILE}"}, "Requests from other sites are refused.", "panel&#39;s own pages"),
    ({"host": "evil.example"}, "does not answer under that host name.", "--allowed-host"),
    ({"host": HOSTILE}, "does not answer under that host name.", "--allowed-host"),
    ({}, "read-only mode.", "Start it without <code>--read-only</code>"),
]


@pytest.fixture(scope="module")
def read_only(workshop: Workshop, settings: ApiSettings) -> Iterator[TestClient]:
    with make_client(replace(settings, read_only=True), workshop) as client:
        yield client


def _envelope(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = json.loads(answer.text)["error"]
    return error


@pytest.mark.parametrize(("headers", "message", "next_step"), REFUSED)
def test_a_form_that_is_refused_is_answered_with_a_page_where_a_browser_sent_it(
    read_only: TestClient, headers: dict[str, str], message: str, next_step: str
) -> None:
    body = f"repo_id={HOSTILE}"
    page = read_only.post("/datasets", content=body, headers={**BROWSER, **FORM, **headers})
    assert page.status_code == 403
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>" in page.text
    assert message in page.text
    assert next_step in page.text
    assert HOSTILE not in page.text
    assert page.headers["content-security-policy"]
    assert _envelope(read_only.post("/datasets", content=body, headers={**FORM, **headers}), 403)
    programs = {**BROWSER, **headers, "content-type": "application/json"}
    assert _envelope(read_only.post("/api/datasets/download", content="{}", headers=programs), 403)


def test_a_button_that_is_refused_is_answered_with_a_notice_above_the_page(read_only: TestClient) -> None:
    answer = read_only.post("/datasets/ds_texts_a1b2c3/retry", headers=FRAGMENT)
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (403, "#notices")
    assert "<html" not in answer.text
    assert "read-only mode" in answer.text


def test_under_a_name_that_is_not_answered_no_page_asks_for_more(read_only: TestClient) -> None:
    page = read_only.get("/datasets", headers={**BROWSER, "host": "evil.example"})
    assert page.status_code == 403
    assert "does not answer under that host name." in page.text
    assert not any(one in page.text for one in ("href", "src=", "/datasets"))


def test_an_address_that_only_takes_forms_says_so(client: TestClient, ready_dataset: str) -> None:
    for method, path in (("GET", f"/datasets/{ready_dataset}/retry"), ("PUT", "/datasets"), ("DELETE", "/storage")):
        answer = client.request(method, path, headers=BROWSER)
        assert answer.status_code == 405, path
        assert answer.headers["allow"], path
        assert "This address is not a page" in answer.text, path
    assert _envelope(client.put("/api/datasets"), 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", [f"/{HOSTILE}", f"/datasets/{HOSTILE}", "/datasets/%3Cscript%3E", f"/storage/x?y={HOSTILE}", "/static/x"]
)
def test_a_page_that_is_not_there_shows_nothing_of_the_address(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"].startswith("text/html")
    assert "alert(1)" not in answer.text
    assert "<script>" not in answer.text


def test_a_failure_that_nobody_foresaw_is_a_page_without_what_was_asked(
    workshop: Workshop, settings: ApiSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError(SECRET)

    with make_client(settings, workshop) as client:
        application = client.app
        assert isinstance(application, FastAPI)
        for path in ("/fail", "/api/fail"):
            application.add_api_route(path, fail)
        page = client.get("/fail", headers=BROWSER)
        answers = [client.get("/fail"), client.get("/api/fail", headers=BROWSER)]
        notice = client.get("/fail", headers=FRAGMENT)
    assert page.status_code == notice.status_code == 500
    assert "<h1>Internal Server Error.</h1>" in page.text
    assert "The log of the panel says why." in page.text
    assert notice.headers["HX-Retarget"] == "#notices"
    for answer in answers:
        assert _envelope(answer, 500)["code"] == "internal"
    output = "".join(capfd.readouterr())
    assert "ZeroDivisionError" in output
    assert SECRET not in "".join([page.text, notice.text, output, *(answer.text for answer in answers)])
