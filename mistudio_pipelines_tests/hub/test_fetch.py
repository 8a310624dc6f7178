"""One file through everything that can happen on the way: dropped, corrupted, changed, refused, resumed."""

import hashlib
import logging
import os
import threading
import time

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.download import download_files
from mistudio_pipelines.hub.plan import RemoteFile
from mistudio_pipelines.hub.tree import list_tree

TOKEN = "hf_" + "aBc123XyZ" * 4
SIZE = 3_000_000
CONTENT = os.urandom(SIZE)
LFS = "train.parquet"
PLAIN = "train.jsonl"


@pytest.fixture
def repository(hub):
    return hub.add_repository("user/name", {LFS: CONTENT, PLAIN: CONTENT})


def remotes(client, commit, *paths):
    tree = list_tree(client, "user/name", commit)
    return [
        RemoteFile(f.path, f.size, f.sha256, f.git_sha1, "train", client.file_url("user/name", commit, f.path))
        for f in (tree[path] for path in paths)
    ]


def fetch(client, commit, folder, *paths, **options):
    files = remotes(client, commit, *paths)
    return download_files(client, files, commit, "user/name", folder, **{"floor_bytes": 0, **options})


def ranges(hub, path):
    """The ranges of the requests that sent bytes of a file."""
    return [request.range for request in hub.requests if request.path.endswith(path) and request.status in (200, 206)]


@pytest.mark.parametrize("path", [LFS, PLAIN])
@pytest.mark.parametrize("cut", [0, 1, 65_535, 1_048_576, SIZE - 1])
def test_after_a_cut_only_the_rest_is_requested(hub, client, repository, tmp_path, path, cut):
    hub.faults.cut_after(path, cut)
    (file,) = fetch(client, repository, tmp_path, path)
    assert file.path.read_bytes() == CONTENT
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert hub.bytes_served(path) < SIZE + 2000  # redirects have small bodies
    if cut > 0:
        assert ranges(hub, path)[-1] == f"bytes={cut}-"


def test_the_rest_is_asked_for_only_if_the_content_is_the_same(hub, client, repository, tmp_path):
    hub.faults.cut_after(LFS, 1_000_000)
    fetch(client, repository, tmp_path, LFS)
    resumed = [request for request in hub.requests if request.range and request.origin == "cdn"]
    assert len(resumed) == 1
    assert resumed[0].headers["if-range"].startswith('"')


def test_progress_resets_the_count_of_retries(hub, client, repository, tmp_path):
    hub.faults.cut_after(LFS, 200_000, times=12)
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def test_without_progress_it_ends_after_three_retries_and_keeps_the_part(hub, client, repository, tmp_path):
    hub.faults.cut_after(LFS, 1_000_000)
    hub.faults.fail(LFS, 503, times=4, origin="cdn")
    # The first answer of the storage is an error too: four without progress.
    with pytest.raises(MistudioError, match=r"file 'train.parquet' of repository 'user/name': HTTP 503") as caught:
        fetch(client, repository, tmp_path, LFS)
    assert caught.value.code == ErrorCode.HUB_UNREACHABLE
    assert caught.value.transient


def test_a_manual_retry_continues_where_it_stopped(hub, client, repository, tmp_path):
    hub.faults.cut_after(LFS, 1_000_000)
    hub.faults.drop(LFS, times=None, origin="hub")
    with pytest.raises(MistudioError):
        fetch(client, repository, tmp_path, LFS)
    hub.faults.clear()
    hub.faults.cut_after(LFS, 1_000_000)
    hub.faults.fail("/resolve-cache/*", 503)
    fetch(client, repository, tmp_path, LFS)
    assert ranges(hub, LFS)[-1] == "bytes=1000000-"


def test_a_connection_that_went_silent_is_given_up_and_continued(hub, client, repository, tmp_path, monkeypatch):
    monkeypatch.setattr("mistudio_pipelines.hub.client.READ_TIMEOUT_SECONDS", 0.3)
    hub.faults.stall(LFS, 1_000_000, 20)
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT
    assert ranges(hub, LFS)[-1] == "bytes=1000000-"


def test_a_hub_that_restarts_is_waited_for(hub, store, repository, tmp_path):
    client = HubClient(store, endpoint=hub.endpoint, first_wait_seconds=0.3)
    files = remotes(client, repository, LFS)
    hub.faults.slow(LFS, 2_000_000)
    restart = threading.Timer(0.5, lambda: (hub.stop(), hub.faults.clear(), hub.start()))
    restart.start()
    (file,) = download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)
    restart.join()
    assert file.path.read_bytes() == CONTENT
    assert hub.bytes_served(LFS) < SIZE * 1.5


@pytest.mark.parametrize("path", [LFS, PLAIN])
def test_a_corrupt_body_of_the_right_length_is_fetched_again(hub, client, repository, tmp_path, path):
    hub.faults.corrupt(path, times=2)
    (file,) = fetch(client, repository, tmp_path, path)
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize("path", [LFS, PLAIN])
def test_three_corrupt_bodies_are_an_error_that_names_the_file_and_nothing_is_kept(
    hub, client, repository, tmp_path, path
):
    hub.faults.corrupt(path, times=None)
    with pytest.raises(MistudioError, match=f"'{path}' of 'user/name' came 3 times with other bytes") as caught:
        fetch(client, repository, tmp_path, path)
    assert caught.value.code == ErrorCode.CORRUPT_DOWNLOAD
    assert not caught.value.transient
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir() if path.is_file())


def test_bytes_that_rotted_in_the_part_are_found_and_fetched_again(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    (part,) = tmp_path.glob("*.part")
    with part.open("r+b") as file:
        file.seek(500_000)
        file.write(b"rotten")
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def stop_after(hub, client, commit, folder, path, at_least=1_000_000):
    """Stop a download in the middle."""
    seen = [0]
    hub.faults.slow(path, at_least * 4)
    with pytest.raises(Stopped):
        fetch(
            client,
            commit,
            folder,
            path,
            on_progress=lambda p: seen.append(p.done),
            should_stop=lambda: seen[-1] > at_least,
        )
    hub.faults.clear()
    hub.clear_requests()


def test_a_part_without_its_sidecar_or_with_a_broken_one_starts_over(hub, client, repository, tmp_path):
    for damage in (
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text('{"a": 1}'),
    ):
        stop_after(hub, client, repository, tmp_path, LFS)
        (sidecar,) = tmp_path.glob("*.part.json")
        damage(sidecar)
        (file,) = fetch(client, repository, tmp_path, LFS)
        assert file.path.read_bytes() == CONTENT
        assert ranges(hub, LFS) == [None]
        file.path.unlink()


def test_a_part_that_is_too_long_starts_over(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    (part,) = tmp_path.glob("*.part")
    with part.open("ab") as file:
        file.write(bytes(SIZE))
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def test_a_complete_part_is_verified_and_needs_no_request(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(CONTENT)
    files = remotes(client, repository, LFS)
    hub.clear_requests()
    (file,) = download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)
    assert file.path.read_bytes() == CONTENT
    assert hub.requests == []


def test_content_that_changed_under_the_same_commit_is_never_mixed(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    files = remotes(client, repository, LFS)
    other = os.urandom(SIZE)
    hub.faults.swap_content(LFS, other)
    with pytest.raises(MistudioError) as caught:
        download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)
    assert caught.value.code == ErrorCode.CORRUPT_DOWNLOAD
    hub.faults.clear()
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def test_a_new_revision_starts_changed_files_over_and_continues_the_others(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    kept = next(tmp_path.glob("*.part")).stat().st_size
    changed = os.urandom(SIZE)
    newer = hub.commit("user/name", {PLAIN: changed})
    lfs, plain = fetch(client, newer, tmp_path, LFS, PLAIN)
    assert lfs.path.read_bytes() == CONTENT
    assert plain.path.read_bytes() == changed
    assert f"bytes={kept}-" in ranges(hub, LFS)
    newest = hub.commit("user/name", {LFS: changed})
    (lfs,) = fetch(client, newest, tmp_path, LFS)
    assert lfs.path.read_bytes() == changed


def test_a_file_that_is_gone_is_permanent(hub, client, repository, tmp_path):
    files = remotes(client, repository, LFS)
    hub.faults.fail(LFS, 404, times=None, headers={"X-Error-Code": "EntryNotFound"})
    with pytest.raises(MistudioError, match=r"no longer has file 'train.parquet'") as caught:
        download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)
    assert caught.value.code == ErrorCode.FILE_GONE
    assert not caught.value.transient


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_an_expired_link_to_the_storage_is_replaced_by_a_fresh_one(hub, client, repository, tmp_path, status):
    hub.faults.fail(LFS, status, times=2, origin="cdn")
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def test_access_withdrawn_meanwhile_is_permanent(hub, client, repository, tmp_path):
    files = remotes(client, repository, LFS)
    hub.faults.fail(LFS, 403, times=None, headers={"X-Error-Code": "GatedRepo"}, origin="hub")
    with pytest.raises(MistudioError, match="request access to this gated dataset"):
        download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)


def test_the_rate_limit_is_waited_for_by_all_connections(hub, client, repository, tmp_path):
    files = remotes(client, repository, LFS, PLAIN)
    hub.faults.rate_limit(LFS, 1)
    began = time.monotonic()
    download_files(client, files, repository, "user/name", tmp_path, floor_bytes=0)
    assert time.monotonic() - began >= 1


def test_a_server_that_answers_416_is_asked_from_the_start(hub, client, repository, tmp_path):
    stop_after(hub, client, repository, tmp_path, LFS)
    hub.faults.fail(LFS, 416, origin="cdn")
    (file,) = fetch(client, repository, tmp_path, LFS)
    assert file.path.read_bytes() == CONTENT


def test_an_empty_file_needs_no_request(hub, client, tmp_path):
    commit = hub.add_repository("user/name", {"empty.txt": b""})
    files = remotes(client, commit, "empty.txt")
    hub.clear_requests()
    (file,) = download_files(client, files, commit, "user/name", tmp_path, floor_bytes=0)
    assert file.path.read_bytes() == b""
    assert file.sha256 == hashlib.sha256(b"").hexdigest()
    assert hub.requests == []


def test_a_wrong_size_in_the_tree_is_corrupt_before_the_body_is_read(hub, client, repository, tmp_path):
    (remote,) = remotes(client, repository, LFS)
    wrong = RemoteFile(remote.path, SIZE - 1, remote.sha256, None, "train", remote.url)
    with pytest.raises(MistudioError) as caught:
        download_files(client, [wrong], repository, "user/name", tmp_path, floor_bytes=0)
    assert caught.value.code == ErrorCode.CORRUPT_DOWNLOAD


def test_the_token_is_in_no_file_no_log_and_no_error(hub, store, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.allow(TOKEN, ["user/name"])
    commit = hub.add_repository("user/name", {LFS: CONTENT, PLAIN: CONTENT}, private=True)
    client = HubClient(store, endpoint=hub.endpoint, first_wait_seconds=0.01)
    stop_after(hub, client, commit, store.root / "files", LFS)
    hub.faults.fail(PLAIN, 403, times=None)
    errors = []
    for path in (LFS, PLAIN):
        try:
            fetch(client, commit, store.root / "files", path)
        except MistudioError as error:
            errors.append(repr(error.as_dict()))
    assert errors
    written = [path.read_bytes() for path in store.root.rglob("*") if path.is_file()]
    assert written
    for text in [*errors, *written, caplog.text]:
        assert TOKEN not in str(text)
        assert b"Signature=" not in text if isinstance(text, bytes) else "Signature=" not in text
    assert all("authorization" not in request.headers for request in hub.requests if request.origin == "cdn")


def test_a_small_file_leaves_no_sidecar_and_starts_over(hub, client, tmp_path):
    content = os.urandom(200_000)
    commit = hub.add_repository("user/name", {"small.txt": content})
    stop_after(hub, client, commit, tmp_path, "small.txt", at_least=50_000)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    (file,) = fetch(client, commit, tmp_path, "small.txt")
    assert file.path.read_bytes() == content
    assert hub.bytes_served("small.txt") < 205_000
