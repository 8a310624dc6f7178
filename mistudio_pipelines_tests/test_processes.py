"""Telling processes apart, and dying with a parent: with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mistudio_pipelines.defs.resources import ShardExecutor
from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.processes import ask_for_large_pages, process_start
from mistudio_pipelines.store.layout import DataStore


def test_a_process_has_the_same_start_every_time_and_none_once_it_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(child.pid)
    assert start
    assert process_start(child.pid) == start != process_start(os.getpid())
    child.kill()
    while process_start(child.pid) is not None:  # a zombie until it is waited for
        time.sleep(0.01)
    child.wait()
    assert process_start(child.pid) is None


def test_worker_processes_die_with_their_killed_parent() -> None:
    code = """
import os, sys, time
from pathlib import Path
from mistudio_pipelines.defs.resources import ShardExecutor
from mistudio_pipelines.store.layout import DataStore

if __name__ == "__main__":
    with ShardExecutor(kind="processes", workers=2).start(DataStore(Path.cwd())) as executor:
        futures = [executor.submit(os.getpid) for _ in range(2)]
        print(*{future.result() for future in futures}, flush=True)
        executor.submit(time.sleep, 600)
        time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        assert all(process_start(pid) for pid in workers)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 20
    while any(process_start(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.05)


def test_a_worker_process_that_is_ended_from_outside_is_one_sentence(tmp_path: Path) -> None:
    pool = ShardExecutor(kind="processes", workers=1)
    with (
        pytest.raises(MistudioError, match="worker processes was ended") as caught,
        pool.start(DataStore(tmp_path)) as executor,
    ):
        executor.submit(os._exit, 9).result()
    assert caught.value.code == ErrorCode.WORKER_LOST


def test_large_pages_are_asked_for_beside_what_a_person_has_chosen() -> None:
    asked = ask_for_large_pages({"A": "b", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"})
    assert asked == {"A": "b", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"}
    assert ask_for_large_pages({}) == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert ask_for_large_pages(chosen) == chosen
