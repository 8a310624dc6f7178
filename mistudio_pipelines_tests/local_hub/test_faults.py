"""What goes wrong at the local Hub on purpose."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, received_until_cut, resolve
from mistudio_pipelines_tests.local_hub.repositories import Blob
from mistudio_pipelines_tests.local_hub.stock import CONTENT


@pytest.mark.parametrize("count", [0, 1, 65_536, 100_001, len(CONTENT) - 1])
def test_a_connection_is_cut_after_exactly_that_many_bytes(hub: HubServer, link: str, count: int) -> None:
    hub.faults.cut_after("data/train.parquet", count)
    assert received_until_cut(link) == CONTENT[:count]
    assert hub.bytes_served("*.parquet") == count
    assert ask(link).body == CONTENT


def test_a_cut_counts_from_the_start_of_the_range_and_as_often_as_asked(hub: HubServer, link: str) -> None:
    hub.faults.cut_after("*.parquet", 10, times=2)
    assert received_until_cut(link, Range="bytes=100-") == CONTENT[100:110]
    assert received_until_cut(link, Range="bytes=110-") == CONTENT[110:120]
    assert ask(link, Range="bytes=120-").body == CONTENT[120:]


def test_redirects_heads_and_errors_do_not_use_up_a_fault_of_bodies(hub: HubServer, link: str) -> None:
    hub.faults.cut_after("train.parquet", 5)
    ask(resolve(hub, "data/train.parquet"))
    ask(link, "HEAD")
    ask(link, Range=f"bytes={len(CONTENT)}-")
    assert len(received_until_cut(link)) == 5


def test_answers_of_the_api_can_be_cut_too(hub: HubServer, link: str) -> None:
    hub.faults.cut_after("/api/datasets/user/name/tree/main", 20)
    assert len(received_until_cut(api(hub, "user/name/tree/main"))) == 20


def test_a_stalled_body_pauses_and_then_goes_on(hub: HubServer, link: str) -> None:
    hub.faults.stall("*.parquet", 1000, seconds=0.3)
    began = time.monotonic()
    assert ask(link).body == CONTENT
    assert time.monotonic() - began >= 0.3


def test_a_slow_body_takes_its_time_until_faults_are_cleared(hub: HubServer, link: str) -> None:
    hub.faults.slow("*.parquet", bytes_per_second=len(CONTENT) * 2)
    began = time.monotonic()
    assert ask(link).body == CONTENT
    assert time.monotonic() - began > 0.35
    hub.faults.slow("*.parquet", bytes_per_second=1)
    hub.faults.clear()
    assert ask(link).body == CONTENT


def test_a_corrupt_body_has_the_right_length_and_one_wrong_byte(hub: HubServer, link: str) -> None:
    hub.faults.corrupt("*.parquet", times=2)
    for headers in ({}, {"Range": "bytes=7-7"}):
        start, end = (7, 8) if headers else (0, len(CONTENT))
        body = ask(link, **headers).body
        assert len(body) == end - start
        assert sum(a != b for a, b in zip(body, CONTENT[start:end], strict=True)) == 1
    assert ask(link).body == CONTENT


def test_several_faults_of_one_body_work_together(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    hub.add_repository("user/disk", {"x.parquet": tmp_path / "x"})
    address = ask(resolve(hub, "x.parquet", repository_id="user/disk")).headers["location"]
    hub.faults.slow("*", bytes_per_second=1e9)
    hub.faults.corrupt("*.parquet")
    hub.faults.cut_after("*.parquet", 200_000)
    body = received_until_cut(address)
    assert len(body) == 200_000
    assert body != CONTENT[:200_000]
    assert ask(address).body == CONTENT


def test_an_error_is_answered_as_often_as_asked_with_its_headers(hub: HubServer, link: str) -> None:
    hub.faults.fail("user/name", 503, times=2)
    hub.faults.fail("user/name", 429, headers={"Retry-After": "7"})
    replies = [ask(api(hub, "user/name")) for _ in range(4)]
    assert [reply.status for reply in replies] == [503, 503, 429, 200]
    assert replies[2].headers["retry-after"] == "7"


def test_an_error_can_be_for_one_method_or_origin_alone(hub: HubServer, link: str) -> None:
    hub.faults.fail("train.parquet", 500, times=None, method="HEAD")
    hub.faults.fail("train.parquet", 502, times=None, origin="cdn")
    address = resolve(hub, "data/train.parquet")
    assert [ask(address, "HEAD").status, ask(address).status, ask(link).status] == [500, 302, 502]


def test_a_used_up_rate_limit_says_when_it_begins_anew(hub: HubServer, link: str) -> None:
    hub.faults.rate_limit("user/name", seconds=55)
    reply = ask(api(hub, "user/name"))
    assert (reply.status, reply.headers["ratelimit"]) == (429, '"api";r=0;t=55')
    assert reply.headers["ratelimit-policy"] == '"fixed window";"api";q=500;w=300'
    assert ask(api(hub, "user/name")).status == 200


def test_a_dropped_request_gets_no_answer_at_all(hub: HubServer, link: str) -> None:
    hub.faults.drop("train.parquet")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(link)
    assert hub.requests[-1].status == 0
    assert ask(link).status == 200


def test_swapped_content_changes_everything_but_the_commit(hub: HubServer, link: str) -> None:
    commit, old = ask(api(hub, "user/name")).json["sha"], ask(link, "HEAD").headers["etag"]
    hub.faults.swap_content("data/train.parquet", b"other")
    head = ask(resolve(hub, "data/train.parquet"), "HEAD").headers
    assert head["x-repo-commit"] == commit
    assert head["x-linked-etag"] == f'"{Blob.of(b"other").sha256}"'
    assert ask(head["location"]).body == b"other"
    changed = ask(link, Range="bytes=2-", If_Range=old)
    assert (changed.status, changed.body) == (200, b"other")
    tree = ask(api(hub, "user/name/tree/main/data")).json
    assert tree[-1]["lfs"]["oid"] == Blob.of(b"other").sha256
    hub.faults.clear()
    assert ask(link).body == CONTENT


def test_content_swapped_at_the_hub_alone_is_found_behind_its_new_link(hub: HubServer, link: str) -> None:
    hub.faults.swap_content("/resolve/main/data/train.parquet", b"other")
    assert ask(ask(resolve(hub, "data/train.parquet")).headers["location"]).body == b"other"
    assert ask(link).body == CONTENT
