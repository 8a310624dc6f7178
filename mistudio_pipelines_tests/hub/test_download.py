"""Several files at once: what is on disk afterwards, what was requested for it, and how it ends early."""

import errno
import hashlib
import os
import threading
import time

import pytest

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.hub.download import download_files
from mistudio_pipelines.hub.repository import plan_repository
from mistudio_pipelines.hub.reuse import unchanged_originals
from mistudio_pipelines.store.manifest import Manifest, Origin, RawFile
from mistudio_pipelines_tests.hub.conftest import texts_parquet

LINE = b'{"text": "one"}\n'


def download(client, plan, folder, **options):
    return download_files(client, plan.files, plan.revision, plan.repository, folder, **{"floor_bytes": 0, **options})


def text_plan(hub, client, contents):
    hub.add_repository("user/name", {f"train/{name}.txt": content for name, content in contents.items()})
    return plan_repository(client, "user/name")


def test_files_arrive_whole_in_the_order_of_the_plan(hub, client, tmp_path):
    contents = {f"data/train-0000{number}-of-00003.parquet": texts_parquet(10 + number) for number in range(3)}
    hub.add_repository("user/name", {"README.md": b"# Card", **contents})
    plan = plan_repository(client, "user/name")
    files = download(client, plan, tmp_path / "files")
    assert [file.remote.path for file in files] == list(contents)
    for file in files:
        content = contents[file.remote.path]
        assert file.path.read_bytes() == content
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size == len(content)
    assert set((tmp_path / "files").iterdir()) == {file.path for file in files}


def test_what_is_there_already_is_not_requested_again(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": b"one", "b": b"two"})
    first = download(client, plan, tmp_path)
    hub.clear_requests()
    assert download(client, plan, tmp_path) == first
    assert hub.requests == []


def test_a_finished_file_that_rotted_is_fetched_again(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": b"one", "b": b"two"})
    first, second = download(client, plan, tmp_path)
    first.path.write_bytes(b"0ne")
    second.path.write_bytes(b"too long")
    download(client, plan, tmp_path)
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"one", b"two")


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(hub, client, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"one")
    plan = text_plan(hub, client, {"a": b"one"})
    (file,) = download(client, plan, tmp_path / "files")
    for place in (file.path, file.path.with_name(file.path.name + ".part")):
        file.path.unlink()
        place.symlink_to(outside)
        download(client, plan, tmp_path / "files")
        assert file.path.read_bytes() == b"one"
        assert not file.path.is_symlink()
        assert outside.read_bytes() == b"one"


def test_a_folder_that_cannot_be_written_says_so(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": b"one"})
    (file,) = download(client, plan, tmp_path / "files")
    file.path.unlink()
    (tmp_path / "files" / (file.path.name + ".part")).mkdir()
    with pytest.raises(MistudioError, match="data folder could not be written: Is a directory") as caught:
        download(client, plan, tmp_path / "files")
    assert caught.value.code == ErrorCode.DATA_FOLDER_UNUSABLE


def test_equal_contents_are_fetched_once_but_are_two_files(hub, client, tmp_path):
    """A reader uses up one file after the other; a shared one would be gone for the second split."""
    splits = b"  - split: a\n    path: [x/a.txt, y/a.txt]\n  - split: b\n    path: x/a.txt\n"
    card = b"---\nconfigs:\n- config_name: all\n  data_files:\n" + splits + b"---\n"
    hub.add_repository("user/name", {"README.md": card, "x/a.txt": b"same" * 1000, "y/a.txt": b"same" * 1000})
    plan = plan_repository(client, "user/name")
    hub.clear_requests()
    files = download(client, plan, tmp_path)
    assert [(file.remote.split, file.remote.path) for file in files] == [
        ("a", "x/a.txt"),
        ("a", "y/a.txt"),
        ("b", "x/a.txt"),
    ]
    assert len({file.path for file in files}) == 3
    assert hub.bytes_served("a.txt") < 5000
    files[0].path.unlink()
    hub.clear_requests()
    assert download(client, plan, tmp_path) == files
    assert hub.requests == []


def test_unchanged_files_of_an_older_revision_are_not_fetched_again(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": b"old" * 1000, "b": b"kept" * 1000})
    before = download(client, plan, tmp_path / "old")
    hub.commit("user/name", {"train/a.txt": b"new" * 1000})
    newer = plan_repository(client, "user/name")
    reuse = {file.remote.content_hash: file.path for file in before}
    hub.clear_requests()
    files = download(client, newer, tmp_path / "new", reuse=reuse)
    assert [file.path.read_bytes() for file in files] == [b"new" * 1000, b"kept" * 1000]
    assert hub.bytes_served("b.txt") == 0
    # The older dataset may be deleted afterwards.
    for file in before:
        file.path.unlink()
    assert files[1].path.read_bytes() == b"kept" * 1000


def test_a_raw_folder_knows_which_of_its_files_are_the_hubs_bytes(tmp_path):
    def raw_file(name, *origins):
        return RawFile(path=name, split="train", rows=1, size=1, sha256="0" * 64, origins=origins)

    manifest = Manifest(
        dataset_id="ds_x_abc",
        source="huggingface",
        revision="r",
        text_column="text",
        files=(
            raw_file("kept.parquet", Origin(path="a", size=1, sha256="1" * 64, unchanged=True)),
            raw_file("plain.parquet", Origin(path="b", size=1, sha256="2" * 64, git_sha1="3" * 40, unchanged=True)),
            raw_file("rewritten.parquet", Origin(path="c", size=1, sha256="4" * 64)),
        ),
    )
    assert unchanged_originals(tmp_path, manifest) == {
        "sha256:" + "1" * 64: tmp_path / "kept.parquet",
        "sha256:" + "2" * 64: tmp_path / "plain.parquet",
        "git:" + "3" * 40: tmp_path / "plain.parquet",
    }


def test_a_reused_file_that_rotted_is_fetched(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": b"right"})
    rotten = tmp_path / "rotten"
    rotten.write_bytes(b"wrong")
    (file,) = download(client, plan, tmp_path / "files", reuse={plan.files[0].content_hash: rotten})
    assert file.path.read_bytes() == b"right"
    (file,) = download(client, plan, tmp_path / "more", reuse={plan.files[0].content_hash: tmp_path / "missing"})
    assert file.path.read_bytes() == b"right"


def test_a_few_files_at_once_and_no_more_than_asked(hub, client, tmp_path):
    plan = text_plan(hub, client, {str(number): os.urandom(40_000) for number in range(12)})
    hub.faults.slow("*.txt", 200_000)
    for connections in (1, 3):
        hub.clear_requests()
        download(client, plan, tmp_path / str(connections), connections=connections)
        assert hub.largest_number_at_once("*.txt") == connections


def test_progress_begins_with_what_is_there_never_exceeds_and_ends_exactly(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": os.urandom(100_000), "b": os.urandom(600_000)})
    (kept, _) = download(client, plan, tmp_path)
    for path in tmp_path.iterdir():
        if path != kept.path:
            path.unlink()
    seen = []
    hub.faults.slow("*.txt", 1_000_000)
    download(client, plan, tmp_path, on_progress=seen.append)
    assert seen[0].done == 100_000
    assert seen[-1].done == seen[-1].total == 700_000
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert len(seen) > 3


def test_a_stop_ends_within_a_second_and_keeps_what_is_there(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": os.urandom(2_000_000), "b": os.urandom(2_000_000)})
    hub.faults.stall("*.txt", 500_000, 30, times=None)
    began = time.monotonic()
    with pytest.raises(Stopped):
        download(client, plan, tmp_path, should_stop=lambda: time.monotonic() - began > 1)
    assert time.monotonic() - began < 4
    assert [path.stat().st_size for path in tmp_path.glob("*.part")] == [500_000, 500_000]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("download-", "content-hash"))]
    hub.faults.clear()
    hub.clear_requests()
    download(client, plan, tmp_path)
    assert hub.bytes_served("*.txt") < 3_100_000


def test_an_interrupt_of_the_calling_thread_ends_the_workers(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": os.urandom(1_000_000)})
    hub.faults.stall("*.txt", 1000, 30, times=None)

    class Interrupted(BaseException):
        pass

    def interrupt(progress):
        if progress.done:
            raise Interrupted

    with pytest.raises(Interrupted):
        download(client, plan, tmp_path, on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download-")]


def test_one_file_that_fails_ends_the_others_and_keeps_their_parts(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": os.urandom(1_000_000), "b": os.urandom(1_000_000)})
    hub.faults.slow("a.txt", 100_000)
    hub.faults.fail("b.txt", 410, times=None)
    began = time.monotonic()
    with pytest.raises(MistudioError) as caught:
        download(client, plan, tmp_path)
    assert caught.value.code == ErrorCode.FILE_GONE
    assert time.monotonic() - began < 5
    assert any(path.stat().st_size for path in tmp_path.glob("*a.txt.part"))


def test_the_total_bandwidth_is_capped(hub, client, tmp_path):
    plan = text_plan(hub, client, {str(number): os.urandom(250_000) for number in range(4)})
    began = time.monotonic()
    download(client, plan, tmp_path, bytes_per_second=1_000_000)
    assert 0.7 <= time.monotonic() - began < 10


def test_it_stops_before_the_disk_is_full_and_continues_where_there_is_room(hub, client, tmp_path):
    plan = text_plan(hub, client, {"a": os.urandom(400_000)})
    hub.faults.slow("*.txt", 400_000)
    with pytest.raises(
        MistudioError, match=r"only .* are free on the disk, .* must stay free, and .* still to come"
    ) as caught:
        download(client, plan, tmp_path, floor_bytes=1 << 60)
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert "kept" in caught.value.next_step
    hub.faults.clear()
    (file,) = download(client, plan, tmp_path)
    assert file.size == 400_000


def test_a_disk_that_becomes_full_is_not_retried_and_keeps_the_part(hub, client, tmp_path, monkeypatch):
    """The real small file system is in the tests of `defs`; here the operating system's answer alone."""
    content = os.urandom(900_000)
    plan = text_plan(hub, client, {"a": content})
    real, left = os.pwrite, [300_000]

    def pwrite(descriptor, data, offset):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: left[0]], offset)
        left[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(MistudioError) as caught:
        download(client, plan, tmp_path)
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert len([request for request in hub.requests if request.path.endswith("a.txt") and request.status == 200]) == 1
    (part,) = tmp_path.glob("*.part")
    assert part.read_bytes() == content[:300_000]
    left[0] = 1 << 30
    (file,) = download(client, plan, tmp_path)
    assert file.path.read_bytes() == content


def test_no_files_are_no_work(client, tmp_path):
    assert download_files(client, [], "0" * 40, "user/name", tmp_path / "files") == []


def test_hostile_paths_stay_in_the_folder(hub, client, tmp_path):
    names = [
        "a b.txt",
        "ünï/ço∕dé.txt",
        "%2e%2e/x.txt",
        "...txt",
        "-rf.txt",
        "x" * 200 + ".txt",
        "con.txt",
        "a\\..\\b.txt",
    ]
    hub.add_repository("user/name", {name: name.encode() for name in names})
    plan = plan_repository(client, "user/name")
    files = download(client, plan, tmp_path / "in" / "files")
    assert {file.remote.path: file.path.read_text() for file in files} == {
        file.remote.path: file.remote.path for file in files
    }
    assert len(files) >= 6
    assert all(file.path.parent == tmp_path / "in" / "files" for file in files)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["files"]
