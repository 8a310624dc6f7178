"""The record of requests to the local Hub."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, received_until_cut, resolve
from mistudio_pipelines_tests.local_hub.stock import CONTENT


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_every_request_is_recorded_with_what_was_asked_and_answered(hub: HubServer, link: str) -> None:
    ask(link, Range="bytes=5-9", X_Test="yes")
    request = hub.requests[-1]
    assert (request.method, request.origin, request.status, request.bytes_sent) == ("GET", "cdn", 206, 5)
    assert (request.range, request.headers["x-test"]) == ("bytes=5-9", "yes")
    assert request.path.endswith("/data/train.parquet")
    assert request.query.startswith("Expires=")
    assert request.time_ended is not None
    assert request.time_ended >= request.time_started
    assert tuple(request)[:3] == ("GET", "cdn", request.path)
    hub.clear_requests()
    assert hub.requests == []


def test_bytes_are_counted_while_a_body_is_still_on_its_way(hub: HubServer, link: str) -> None:
    hub.faults.stall("*.parquet", 1000, seconds=30)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(received_until_cut(link)), daemon=True)
    reader.start()
    wait_until(lambda: hub.bytes_served("*.parquet") == 1000)
    assert hub.requests[-1].time_ended is None
    hub.stop()  # does not wait for the stalled body
    reader.join(10)
    assert received == [CONTENT[:1000]]


def test_requests_one_after_the_other_are_never_two_at_once(hub: HubServer, link: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    hub.add_repository("user/disk", {"x.txt": tmp_path / "x"})
    for _ in range(50):
        ask(link)
        ask(resolve(hub, "x.txt", repository_id="user/disk"))
        ask(api(hub, "user/name"), "HEAD")
        ask(api(hub, "no/such"))
    assert hub.largest_number_at_once() == 1


def test_requests_at_the_same_time_are_counted(hub: HubServer, link: str) -> None:
    hub.faults.stall("*.parquet", 1, seconds=0.5, times=3)
    threads = [threading.Thread(target=ask, args=(link,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.largest_number_at_once("*.parquet") == 3
    assert hub.largest_number_at_once("/api/*") == 0
