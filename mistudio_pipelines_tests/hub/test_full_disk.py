"""A download onto a small file system that really becomes full, and continues once there is room."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

MEGABYTE = 1_000_000
PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.download import download_files
from mistudio_pipelines.hub.repository import plan_repository
from mistudio_pipelines.store.layout import DataStore

mount, endpoint, store = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
client = HubClient(DataStore(store), endpoint=endpoint)
plan = plan_repository(client, "user/name")

def attempt(floor):
    try:
        files = download_files(client, plan.files, plan.revision, plan.repository, mount / "files", floor_bytes=floor)
    except MistudioError as error:
        return {"code": error.code, "kept": sum(path.stat().st_size for path in (mount / "files").glob("*.part"))}
    return {"code": None, "sha256": [file.sha256 for file in files]}

results = [attempt(0), attempt(1 << 20)]
subprocess.run(["mount", "-o", "remount,size=64m", str(mount)], check=True)
results.append(attempt(0))
print(json.dumps(results))
"""


def in_small_file_system(mount, *command):
    """Run a command in a mount namespace of its own, with 6 MB at `mount`."""
    script = 'mount -t tmpfs -o size=6m tmpfs "$0" && exec "$@"'
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(mount), *command]
    return subprocess.run(namespace, capture_output=True, text=True)


def test_a_full_disk_ends_the_download_with_its_part_kept(hub, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    try:
        usable = in_small_file_system(mount, "true").returncode == 0
    except FileNotFoundError:
        usable = False
    if not usable:
        pytest.skip("this machine does not let a user mount a file system")
    content = os.urandom(10 * MEGABYTE)
    hub.add_repository("user/name", {"train.txt": content})
    hub.clear_requests()
    answer = in_small_file_system(
        mount, sys.executable, "-c", PROGRAM, str(mount), hub.endpoint, str(tmp_path / "data")
    )
    assert answer.returncode == 0, answer.stderr
    full, under_the_floor, complete = json.loads(answer.stdout)
    assert full["code"] == under_the_floor["code"] == "insufficient_storage"
    assert 4 * MEGABYTE < full["kept"] <= 6.3 * MEGABYTE
    assert under_the_floor["kept"] >= full["kept"]
    assert complete["sha256"] == [hashlib.sha256(content).hexdigest()]
    assert hub.bytes_served("train.txt") < 15 * MEGABYTE
