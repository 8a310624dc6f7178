"""A download whose process is killed with SIGKILL at random moments, again and again."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import time

import pytest

from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.names import local_name
from mistudio_pipelines.hub.partial import content_identity
from mistudio_pipelines.hub.plan import RemoteFile
from mistudio_pipelines.hub.tree import list_tree

MEBIBYTE = 1024 * 1024


def run_child(arguments, kill_after):
    """Run the child, kill it that many seconds after it began to download, and say whether it was complete before."""
    command = [sys.executable, "-m", "mistudio_pipelines_tests.hub.downloading_child", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "begun\n"
            if kill_after is not None:
                time.sleep(kill_after)
                child.kill()
            return "complete" in child.communicate(timeout=120)[0]
        finally:
            child.kill()


def download_with_kills(hub, store, tmp_path, kills, megabytes, seed):
    """Kill until it was done `kills` times; returns the bytes that were fetched twice, per kill."""
    chance = random.Random(seed)
    contents = {
        "data/train-00000-of-00002.parquet": os.urandom(megabytes * MEBIBYTE),
        "data/train-00001-of-00002.parquet": os.urandom(megabytes * MEBIBYTE + 12_345),
        "data/validation.jsonl": os.urandom(megabytes * MEBIBYTE // 2),
        **{f"small/{number}.txt": os.urandom(30_000) for number in range(10)},
    }
    commit = hub.add_repository("user/name", contents)
    client = HubClient(store, endpoint=hub.endpoint)
    remotes = [
        RemoteFile(f.path, f.size, f.sha256, f.git_sha1, "train", client.file_url("user/name", commit, f.path))
        for f in list_tree(client, "user/name", commit).values()
    ]
    files = tmp_path / "files.json"
    files.write_text(json.dumps([dataclasses.asdict(remote) for remote in remotes]))
    arguments = [str(files), str(store.root), hub.endpoint, commit, "user/name"]
    # As fast as a good line: all of it takes about as long as the kills.
    hub.faults.slow("*", megabytes * MEBIBYTE / (kills * 0.4))
    hub.clear_requests()
    for _ in range(kills):
        assert not run_child(arguments, chance.uniform(0, 0.5)), "complete too early: the line is too fast"
    hub.faults.clear()
    assert run_child(arguments, None)
    folder = store.root / "files"
    for remote in remotes:
        path = folder / local_name(remote.path, content_identity(remote, commit))
        assert path.read_bytes() == contents[remote.path], remote.path
    assert len(list(folder.iterdir())) == len(contents)
    served = sum(request.bytes_sent for request in hub.requests if request.status in (200, 206))
    return (served - sum(map(len, contents.values()))) / kills


def test_five_kills_lose_no_byte_and_hardly_any_work(hub, store, tmp_path, faults):
    faults.cause("kill -9 of a download", 5)
    assert download_with_kills(hub, store, tmp_path, kills=5, megabytes=8, seed=1) < MEBIBYTE
    faults.survived()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_fifty_kills_lose_no_byte_and_hardly_any_work(hub, store, tmp_path, faults):
    faults.cause("kill -9 of a download", 50)
    twice = download_with_kills(hub, store, tmp_path, kills=50, megabytes=40, seed=random.randrange(1 << 30))
    print(f"\nfetched twice per kill: {twice / 1024:.0f} KiB")
    assert twice < MEBIBYTE
    faults.survived()
