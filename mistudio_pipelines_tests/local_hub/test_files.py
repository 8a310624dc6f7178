"""Redirects, ranges and bytes of files at the local Hub."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_pipelines_tests.hub_server import HubServer
from mistudio_pipelines_tests.local_hub.bare_client import api, ask, resolve
from mistudio_pipelines_tests.local_hub.repositories import Blob
from mistudio_pipelines_tests.local_hub.stock import CONTENT
from mistudio_pipelines_tests.local_hub.transport import Span, block_ends, requested_span


def test_an_lfs_file_redirects_to_the_second_origin_with_its_size_and_sha256(stocked: HubServer) -> None:
    reply = ask(resolve(stocked, "data/train.parquet"), "HEAD")
    assert reply.status == 302
    assert reply.headers["x-linked-size"] == str(len(CONTENT))
    assert reply.headers["x-linked-etag"] == f'"{Blob.of(CONTENT).sha256}"'
    assert reply.headers["x-repo-commit"] == ask(api(stocked, "user/name")).json["sha"]
    assert reply.headers["location"].startswith(stocked.cdn_endpoint)
    assert not [name for name in reply.headers if "xet" in name.lower()]
    content = ask(reply.headers["location"])
    assert (content.status, content.body) == (200, CONTENT)
    assert content.headers["etag"].strip('"') not in reply.headers["x-linked-etag"]


def test_the_second_origin_wants_its_link_and_no_authorization(stocked: HubServer) -> None:
    location = ask(resolve(stocked, "data/train.parquet")).headers["location"]
    assert ask(location, token="hf_any").status == 400
    assert ask(location.partition("?")[0]).status == 403
    assert ask(location.replace("train", "other")).status == 403
    assert ask(f"{stocked.cdn_endpoint}/").status == 403
    stocked.protocol.links.lifetime = -1.0
    expired = ask(ask(resolve(stocked, "data/train.parquet")).headers["location"])
    assert (expired.status, b"expired" in expired.body) == (403, True)


def test_a_file_outside_lfs_redirects_to_an_address_with_its_commit(stocked: HubServer) -> None:
    commit = ask(api(stocked, "user/name")).json["sha"]
    reply = ask(resolve(stocked, "data/more/notes.txt"), "HEAD")
    assert reply.status == 307
    assert reply.headers["location"] == f"/api/resolve-cache/datasets/user/name/{commit}/data/more/notes.txt"
    stocked.commit("user/name", {"data/more/notes.txt": b"newer"})
    content = ask(stocked.endpoint + reply.headers["location"])
    assert (content.status, content.body) == (200, b"notes")
    assert content.headers["x-repo-commit"] == commit
    assert content.headers["etag"] == f'"{Blob.of(b"notes").git_sha1}"'
    assert content.headers["content-length"] == "5"


def test_private_empty_and_namespaceless_files_are_served_at_once(hub: HubServer) -> None:
    hub.add_repository("user/name", {"empty.txt": b""})
    hub.add_repository("bare", {"a.txt": b"a"})
    assert ask(resolve(hub, "empty.txt")).status == 200
    assert ask(resolve(hub, "a.txt", repository_id="bare")).body == b"a"
    assert ask(api(hub, "bare")).json["author"] is None


def test_size_and_name_decide_what_lies_in_lfs(hub: HubServer) -> None:
    files = {"small.txt": b"1234", "large.txt": b"12345", "small.special": b"1"}
    hub.add_repository("user/name", files, lfs_threshold=5, lfs_suffixes=(".special",))
    statuses = {name: ask(resolve(hub, name), "HEAD").status for name in files}
    assert statuses == {"small.txt": 307, "large.txt": 302, "small.special": 302}


@pytest.mark.parametrize("name", ["with space.txt", "100%.txt", "a#b?c&d.txt", 'q"uote.txt', "文件/ü.parquet", "+.txt"])
def test_any_file_name_can_be_listed_and_read(hub: HubServer, name: str) -> None:
    hub.add_repository("user/name", {name: b"content"})
    assert name in [entry["path"] for entry in ask(api(hub, "user/name/tree/main?recursive=true")).json]
    location = ask(resolve(hub, name)).headers["location"]
    assert ask(location if location.startswith("http") else hub.endpoint + location).body == b"content"


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=100-99999999", 100, None)],
)
def test_a_range_is_answered_with_206_and_its_place(
    hub: HubServer, tmp_path: Path, on_disk: bool, asked: str, start: int, end: int | None
) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    hub.add_repository("user/name", {"x.parquet": tmp_path / "x" if on_disk else CONTENT})
    reply = ask(ask(resolve(hub, "x.parquet")).headers["location"], Range=asked)
    expected = CONTENT[start:end]
    first = start % len(CONTENT)
    assert (reply.status, reply.body) == (206, expected)
    assert reply.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"
    assert reply.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=-0"])
def test_a_range_after_the_end_is_416_with_the_size(stocked: HubServer, asked: str) -> None:
    reply = ask(ask(resolve(stocked, "data/train.parquet")).headers["location"], Range=asked)
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=9-2", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_a_range_that_makes_no_sense_gets_the_whole(stocked: HubServer, asked: str) -> None:
    assert ask(ask(resolve(stocked, "data/train.parquet")).headers["location"], Range=asked).status == 200


def test_if_range_wants_the_very_etag_of_the_origin_that_answers(stocked: HubServer) -> None:
    linked = ask(resolve(stocked, "data/train.parquet"))
    location = linked.headers["location"]
    etag = ask(location, "HEAD").headers["etag"]
    assert ask(location, Range="bytes=5-", If_Range=etag).status == 206
    for other in ('"old"', f"W/{etag}", linked.headers["x-linked-etag"], "Sat, 29 Oct 1994 19:43:31 GMT"):
        reply = ask(location, Range="bytes=5-", If_Range=other)
        assert (reply.status, reply.body) == (200, CONTENT)


@given(size=st.integers(0, 40), first=st.none() | st.integers(0, 50), last=st.none() | st.integers(0, 50))
def test_a_span_is_what_slicing_gives(size: int, first: int | None, last: int | None) -> None:
    content = bytes(range(size))
    span = requested_span(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if first is None:
        expected = content[-last:] if last else b""
    else:
        expected = content[first : None if last is None else last + 1]
    if isinstance(span, Span):
        assert expected
        assert content[span.start : span.start + span.length] == expected
    else:
        assert not expected


@given(length=st.integers(0, 200), size=st.integers(1, 50), stops=st.frozensets(st.integers(-5, 250), max_size=3))
def test_blocks_cover_a_body_and_end_at_each_stop(length: int, size: int, stops: frozenset[int]) -> None:
    ends = list(block_ends(length, size, stops))
    starts = [0, *ends]
    assert all(0 < end - start <= size for start, end in zip(starts, ends, strict=False))
    assert starts[-1] == length
    assert {stop for stop in stops if 0 < stop < length} <= set(ends)


def test_one_connection_serves_many_requests(stocked: HubServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(stocked.endpoint).netloc, timeout=20)
    sockets = set()
    for method, path in (
        ("GET", "/api/datasets/user/name"),
        ("HEAD", "/datasets/user/name/resolve/main/README.md"),
    ) * 2:
        connection.request(method, path)
        sockets.add(connection.sock)
        connection.getresponse().read()
    assert len(sockets) == 1


def test_a_file_on_disk_is_hashed_in_one_pass_and_never_held(hub: HubServer, tmp_path: Path) -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range(700_000))  # more than a block, not a multiple
    (tmp_path / "big").write_bytes(content)
    blob = Blob.of(tmp_path / "big")
    assert (blob.sha256, blob.git_sha1, blob.size) == (Blob.of(content).sha256, Blob.of(content).git_sha1, len(content))
    assert blob.source == tmp_path / "big"
    hub.add_repository("user/name", {"big.bin": tmp_path / "big"})
    assert ask(ask(resolve(hub, "big.bin")).headers["location"]).body == content
