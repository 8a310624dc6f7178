"""Small requests: where the token goes, what is tried again, what a person reads."""

import threading
import time

import httpx2
import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.hub.client import HubClient, origin
from mistudio_pipelines.hub.refusals import Request

TOKEN = "hf_" + "aBc123XyZ" * 4
ASKED = Request("user/name")


def information(client, repository="user/name"):
    return client.get_json(client.api_url(repository), Request(repository))[0]


def test_the_token_goes_to_the_hub_and_never_to_another_origin(hub, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.allow(TOKEN, ["user/name"])
    commit = hub.add_repository("user/name", {"a.parquet": b"x" * 100}, private=True)
    client = HubClient(store, endpoint=hub.endpoint)
    assert information(client)["sha"] == commit
    body, _ = client.get(client.file_url("user/name", commit, "a.parquet"), ASKED)
    assert body == b"x" * 100
    assert {request.origin for request in hub.requests} == {"hub", "cdn"}
    for request in hub.requests:
        assert (request.headers.get("authorization") == f"Bearer {TOKEN}") == (request.origin == "hub")


def test_a_token_of_this_machine_is_not_sent_where_another_is_named(hub, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("OTHER", "hf_other_token_1234")
    hub.allow("hf_other_token_1234")
    hub.add_repository("user/name", {"a.txt": b"a"})
    information(HubClient(store, endpoint=hub.endpoint, token_name="OTHER"))
    assert [request.headers["authorization"] for request in hub.requests] == ["Bearer hf_other_token_1234"]


def test_the_endpoint_comes_from_the_environment(hub, store, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint + "/")
    assert HubClient(store).endpoint == hub.endpoint


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_what_is_transient_is_tried_again(hub, client, status):
    hub.add_repository("user/name", {"a.txt": b"a"})
    hub.faults.fail("/api/datasets/user/name", status, times=3)
    assert information(client)["id"] == "user/name"
    assert len(hub.requests) == 4


def test_a_dropped_connection_is_tried_again(hub, client):
    hub.add_repository("user/name", {"a.txt": b"a"})
    hub.faults.drop("/api/datasets/user/name", times=2)
    hub.faults.cut_after("/api/datasets/user/name", 10, times=1)
    assert information(client)["id"] == "user/name"


def test_three_retries_and_no_more(hub, client):
    hub.add_repository("user/name", {"a.txt": b"a"})
    hub.faults.fail("/api/datasets/user/name", 503, times=None)
    with pytest.raises(MistudioError, match="could not be asked for repository 'user/name': HTTP 503") as caught:
        information(client)
    assert caught.value.code == ErrorCode.HUB_UNREACHABLE
    assert caught.value.transient
    assert len(hub.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 418, 451, 501])
def test_what_is_permanent_is_asked_once(hub, client, status):
    hub.faults.fail("/api/datasets/user/name", status, times=None)
    with pytest.raises(MistudioError) as caught:
        information(client)
    assert not caught.value.transient
    assert len(hub.requests) == 1


def test_retry_after_is_obeyed(hub, client):
    hub.add_repository("user/name", {"a.txt": b"a"})
    hub.faults.fail("/api/datasets/user/name", 429, headers={"Retry-After": "1"})
    began = time.monotonic()
    information(client)
    assert time.monotonic() - began >= 1


def test_a_rate_limit_of_hours_is_an_error_that_says_so(hub, client):
    hub.faults.rate_limit("/api/datasets/user/name", 7200, times=None)
    with pytest.raises(MistudioError, match=r"limit on requests is reached for 2h00m.*higher with a token") as caught:
        information(client)
    assert caught.value.code == ErrorCode.RATE_LIMITED
    assert caught.value.transient
    assert len(hub.requests) == 1


def test_waiting_ends_where_a_stop_is_asked_for(hub, store):
    stop = threading.Event()
    client = HubClient(store, endpoint=hub.endpoint, should_stop=stop.is_set)
    hub.faults.fail("*", 503, times=None, headers={"Retry-After": "60"})
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        information(client)
    assert time.monotonic() - began < 2


def test_a_hub_that_is_not_there_is_a_transient_error_in_one_sentence(hub, client):
    hub.stop()
    with pytest.raises(
        MistudioError, match=r"could not be asked for repository 'user/name'.*network connection"
    ) as caught:
        information(client)
    assert caught.value.code == ErrorCode.HUB_UNREACHABLE
    assert caught.value.transient


def test_offline_mode_is_named(hub, client, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MistudioError, match="offline mode is on") as caught:
        information(client)
    assert not caught.value.transient


def test_an_answer_that_is_not_json_is_not_a_hub(hub, client):
    commit = hub.add_repository("user/name", {"page.html": b"<html>Please log in to the hotel's network</html>"})
    with pytest.raises(MistudioError, match=r"did not answer as a Hub does.*proxy or a login page"):
        client.get_json(client.file_url("user/name", commit, "page.html"), ASKED)


def test_redirects_in_a_circle_end(hub, client):
    hub.faults.fail("/api/datasets/user/name", 302, times=None, headers={"Location": "/api/datasets/user/name"})
    with pytest.raises(MistudioError, match="TooManyRedirects"):
        information(client)


@pytest.mark.parametrize("location", ["ftp://elsewhere.example/x", "file:///etc/passwd", "javascript:alert(1)"])
def test_a_redirect_out_of_http_is_refused(hub, client, location):
    hub.faults.fail("/api/datasets/user/name", 302, times=None, headers={"Location": location})
    with pytest.raises(MistudioError, match="UnsupportedProtocol"):
        information(client)


def test_a_redirect_never_leads_from_https_to_http():
    with pytest.raises(httpx2.UnsupportedProtocol):
        HubClient._redirected("https://hub.example/a", "http://hub.example/a")
    assert HubClient._redirected("http://hub.example/a", "https://b.example/c") == "https://b.example/c"


def test_a_moved_repository_is_found_under_its_old_name(hub, client):
    hub.add_repository("user/old", {"a.txt": b"a"})
    hub.move_repository("user/old", "user/new")
    assert information(client, "user/old")["id"] == "user/new"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://hub.example/a", "https://HUB.example:443/b", True),
        ("https://hub.example/a", "http://hub.example/a", False),
        ("https://hub.example/a", "https://hub.example:8443/a", False),
        ("https://hub.example/a", "https://hub.example.evil.example/a", False),
        ("https://hub.example/a", "https://user@evil.example/hub.example", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one, other, same):
    assert (origin(one) == origin(other)) is same
