"""What a hostile page, another host name or an odd body can do: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from mistudio_pipelines.api.security import CONTENT_SECURITY_POLICY, is_allowed_host, refuse_request
from mistudio_pipelines.api.settings import ApiSettings, is_path_prefix
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines_tests.api.conftest import make_client
from mistudio_pipelines_tests.defs.conftest import Workshop

SETTINGS = ApiSettings(Path("data"), Path("home"), allowed_hosts=("box.lan",))
OWN = {"host": "127.0.0.1:3001"}
JSON = {"content-type": "application/json", "content-length": "2"}


def _refused(method: str, path: str, settings: ApiSettings = SETTINGS, **headers: str) -> str | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = refuse_request(method, path, Headers({**OWN, **named}), settings)
    return None if error is None else str(error.code)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:3001", "localhost:80", "LocalHost", "[::1]:3001", "box.lan", "BOX.lan:8443"]
)
def test_own_names_are_answered(host: str) -> None:
    assert is_allowed_host(host, SETTINGS.allowed_hosts)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:3001", "box.lan.", "0.0.0.0", ""),
        *("127.0.0.1:3001@evil.example", "localhost:x", "localhost:1 ", "[::1]", "[::1].evil.example", "127.1"),
    ],
)
def test_other_names_are_not_answered_so_that_rebinding_a_name_gains_nothing(host: str) -> None:
    if host == "[::1]":
        assert is_allowed_host(host, ())
    else:
        assert _refused("GET", "/api/datasets", host=host) == "host_not_allowed"


@given(st.text(max_size=40))
def test_no_other_host_name_is_ever_allowed(host: str) -> None:
    name = host.lower().rpartition(":")[0] if ":" in host and not host.endswith("]") else host.lower()
    if is_allowed_host(host, ()):
        assert name in {"127.0.0.1", "localhost", "[::1]"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"origin": "http://127.0.0.1:3001", "sec_fetch_site": "same-origin"}, None),
        ({"origin": "http://127.0.0.1:3000"}, "cross_site"),
        ({"origin": "http://evil.example"}, "cross_site"),
        ({"origin": "null"}, "cross_site"),
        ({"origin": "file://127.0.0.1:3001"}, "cross_site"),
        ({"origin": "http://["}, "cross_site"),
        ({"sec_fetch_site": "cross-site"}, "cross_site"),
        ({"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:3001"}, "cross_site"),
        ({"referer": "http://evil.example/x"}, "cross_site"),
        ({"referer": "http://127.0.0.1:3001/datasets"}, None),
    ],
)
def test_nothing_is_changed_for_another_site(headers: dict[str, str], code: str | None) -> None:
    assert _refused("DELETE", "/api/datasets/ds_x", **headers) == code
    assert _refused("POST", "/datasets/delete", **headers) == code


def test_other_sites_cannot_read_but_may_link_to_pages() -> None:
    assert _refused("GET", "/api/datasets", sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == "cross_site"
    assert _refused("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_bodies_that_a_form_of_another_site_could_send_are_refused(kind: str) -> None:
    code = _refused("POST", "/api/datasets/download", content_type=kind, content_length="2")
    assert code == "unsupported_media_type"
    assert _refused("PUT", "/api/uploads/0123456789abcdef", content_type=kind, content_length="2") == code


@pytest.mark.parametrize(
    "headers", [{"content_length": "1000001"}, {"content_length": "9" * 40}, {"transfer_encoding": "chunked"}]
)
def test_large_bodies_are_refused_before_they_are_read(headers: dict[str, str]) -> None:
    assert _refused("POST", "/api/deletions", content_type="application/json", **headers) == "body_too_large"


def test_read_only_shows_and_plans_but_changes_nothing() -> None:
    settings = replace(SETTINGS, read_only=True)
    for method, path in (
        ("POST", "/api/datasets/download"),
        ("DELETE", "/api/datasets/ds_x"),
        ("PUT", "/api/uploads/0123456789abcdef"),
        ("POST", "/datasets/add"),
        ("PATCH", "/api/datasets/plan/x"),
    ):
        assert _refused(method, path, settings) == "read_only"
    assert _refused("POST", "/api/datasets/plan", settings, **{"content_type": "application/json"}) is None
    assert _refused("POST", "/api/datasets/ds_x/tokenizations/estimate", settings) is None
    assert _refused("GET", "/api/datasets", settings) is None


def test_every_answer_says_to_browsers_what_they_may_do(client: TestClient) -> None:
    for answer in (client.get("/api/datasets"), client.get("/nothing"), client.get("/api/x", headers={"host": "evil"})):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/api/datasets").headers["cache-control"] == "no-store"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_two_host_headers_are_refused(client: TestClient) -> None:
    headers = [("host", "127.0.0.1:3001"), ("host", "evil.example")]
    assert client.get("/api/datasets", headers=headers).status_code == 403  # type: ignore[arg-type]  # httpx takes pairs


@pytest.fixture
def below_prefix(workshop: Workshop, settings: ApiSettings) -> Iterator[TestClient]:
    chosen = replace(settings, path_prefix="/tools/mistudio", read_only=True)
    with make_client(chosen, workshop) as opened:
        yield opened


def test_a_reverse_proxy_may_keep_its_prefix_or_take_it_away(below_prefix: TestClient) -> None:
    for address in ("/api/datasets", "/tools/mistudio/api/datasets"):
        assert below_prefix.get(address).json()["data"] == []
        refused = below_prefix.delete(f"{address}/ds_x", headers={"origin": "http://evil.example"})
        assert refused.json()["error"]["code"] == "cross_site"
        assert below_prefix.delete(f"{address}/ds_x").json()["error"]["code"] == "read_only"
    servers = below_prefix.get("/tools/mistudio/api/openapi.json").json()["servers"]
    assert servers == [{"url": "/tools/mistudio"}]


def test_a_forwarded_prefix_counts_only_where_it_was_allowed(workshop: Workshop, settings: ApiSettings) -> None:
    headers = {"x-forwarded-prefix": "/proxy"}
    with make_client(settings, workshop) as plain:
        assert plain.get("/proxy/api/datasets", headers=headers).status_code == 404
    with make_client(replace(settings, trust_forwarded_prefix=True), workshop) as trusting:
        assert trusting.get("/proxy/api/datasets", headers=headers).status_code == 200
        hostile = {"x-forwarded-prefix": '/"><script>'}
        assert trusting.get("/api/openapi.json", headers=hostile).json().get("servers") is None


@pytest.mark.parametrize("prefix", ["/x/", "x", "/../x", "/x//y", '/"', "/a b", "/x\n", "//evil.example"])
def test_odd_prefixes_are_refused(prefix: str) -> None:
    assert not is_path_prefix(prefix)
    with pytest.raises(MistudioError):
        replace(SETTINGS, path_prefix=prefix)
