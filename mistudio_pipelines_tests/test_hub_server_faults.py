"""What goes wrong at the local Hub on purpose, the record of requests, and starting and stopping it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.repositories import Blob

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def link(hub: HubServer) -> str:
    """The link to an LFS file of the only dataset, with a record of requests that begins now."""
    hub.add_repository("user/name", {"data/train.parquet": CONTENT, "notes.txt": b"notes"})
    location = ask(resolve(hub, "data/train.parquet")).headers["location"]
    hub.clear_requests()
    return location


def received_until_cut(url: str, **headers: str) -> bytes:
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(url, **headers)
    return cut.value.partial


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


# Faults


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
    assert tree[0]["lfs"]["oid"] == Blob.of(b"other").sha256
    hub.faults.clear()
    assert ask(link).body == CONTENT


def test_content_swapped_at_the_hub_alone_is_found_behind_its_new_link(hub: HubServer, link: str) -> None:
    hub.faults.swap_content("/resolve/main/data/train.parquet", b"other")
    assert ask(ask(resolve(hub, "data/train.parquet")).headers["location"]).body == b"other"
    assert ask(link).body == CONTENT


# The record of requests


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


# Starting and stopping


def test_a_hub_that_was_stopped_comes_back_on_the_same_ports_with_its_content(hub: HubServer, link: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=20)
    connection.request("GET", "/api/datasets/user/name")
    connection.getresponse().read()
    hub.stop()
    assert connection.sock.recv(1) == b""  # an open connection ends, too
    connection.close()
    with pytest.raises(ConnectionError):
        ask(api(hub, "user/name"))
    hub.start()
    hub.start()  # twice does no harm
    assert ask(link).body == CONTENT
    assert ask(api(hub, "user/name")).status == 200


def test_many_clients_at_once_all_get_their_bytes(hub: HubServer, link: str) -> None:
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(link).body)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for number in range(10):
        hub.commit("user/name", {f"{number}.txt": b"x"})
        ask(api(hub, "user/name/tree/main"))
    for thread in threads:
        thread.join()
    assert bodies == [CONTENT] * 30


def test_a_child_process_gets_an_environment_without_the_settings_of_this_one(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment = hub.environment(tmp_path)
    assert environment["HF_ENDPOINT"] == hub.endpoint
    assert environment["HF_HOME"] == str(tmp_path)
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"HF_TOKEN", "HF_HUB_OFFLINE"} & set(environment)
    assert hub.environment(tmp_path, token="hf_given")["HF_TOKEN"] == "hf_given"


# By hand


@contextmanager
def started_by_hand(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, running, and the lines that it has printed up to the one with its address."""
    command = [sys.executable, "-m", "mistudio_pipelines_tests.hub_server", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("export "):
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of repositories of every sort."""
    for name in (
        "datasets/user/name/data/train.parquet",
        "datasets/user/name/README.md",
        "datasets/user/name/.cache/ignored",
        "datasets/user/name@v2/data/train.parquet",
        "datasets/user/name@refs%2Fconvert%2Fparquet/default/train/0000.parquet",
        "datasets/bare/train.txt",
        "models/user/tokenizer/tokenizer.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_of_repositories_is_served_with_its_branches(folder: Path) -> None:
    with HubServer(folder) as hub:
        references = ask(api(hub, "user/name/refs")).json
        assert [each["name"] for each in references["branches"]] == ["main", "v2"]
        assert [each["ref"] for each in references["converts"]] == ["refs/convert/parquet"]
        files = [entry["path"] for entry in ask(api(hub, "user/name/tree/main?recursive=true")).json]
        assert files == ["README.md", "data", "data/train.parquet"]
        assert ask(resolve(hub, "train.txt", repository_id="bare")).body == b"datasets/bare/train.txt"
        assert ask(f"{hub.endpoint}/api/models/user/tokenizer").status == 200


def test_the_command_serves_a_folder_until_it_is_told_to_end(folder: Path) -> None:
    arguments = (str(folder), "--gated", "user/name", "--token", "hf_granted", "--bytes-per-second", "1e6")
    with started_by_hand(*arguments) as (process, lines):
        assert "dataset user/name (main, refs/convert/parquet, v2)" in lines
        endpoint = lines[-1].removeprefix("export HF_ENDPOINT=")
        address = f"{endpoint}/datasets/user/name/resolve/main/data/train.parquet"
        assert ask(address).status == 401
        assert ask(ask(address, token="hf_granted").headers["location"]).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(10) == 0
    assert "hub  401" in printed
    assert "cdn  200" in printed


def test_the_command_says_in_one_line_what_it_cannot_do(
    folder: Path, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    from mistudio_pipelines_tests.hub_server import main

    (folder / "empty").mkdir()
    taken = str(urlsplit(hub.endpoint).port)
    for arguments, message in (
        ([str(folder / "nope")], "is not a folder"),
        ([str(folder / "empty")], "has no datasets/NAMESPACE/NAME"),
        ([str(folder), "--gated", "no/such"], "--gated names no repository of the folder: no/such"),
        ([str(folder), "--bytes-per-second", "0"], "must be more than 0"),
        ([str(folder), "--port", taken], f"cannot listen on port {taken}"),
        ([str(folder), "--port", "99999"], "cannot listen on port 99999"),
    ):
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as end:
            main(arguments)
        for number, handler in before.items():
            signal.signal(number, handler)
        assert end.value.code != 0
        assert message in capsys.readouterr().err
