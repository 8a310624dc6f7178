"""Whatever is cut short: either the old or the new is there, never a mixture."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mistudio_pipelines.store import atomic
from mistudio_pipelines.store.atomic import publish_folder, recover_folder, write_bytes, write_json

WRITER = """
import sys
from pathlib import Path
from mistudio_pipelines.store.atomic import write_json
path = Path(sys.argv[1])
number = 0
while True:
    number += 1
    write_json(path, {"number": number, "filling": [number] * 20_000})
"""


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path):
    path = tmp_path / "folder" / "record.json"
    last = 0
    for attempt in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        try:
            while attempt == 0 and not path.exists():
                time.sleep(0.01)
            time.sleep(0.15 + random.Random(attempt).random() * 0.1)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        value = json.loads(path.read_text())
        assert set(value["filling"]) == {value["number"]}
        last = max(last, value["number"])
    assert last > 1


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"old": "ä"})

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": "ä"}
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_is_no_exception_to_that(tmp_path, monkeypatch):
    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def make_folder(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).write_text(content)
    return folder


def contents(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


def test_a_folder_appears_as_a_whole(tmp_path):
    publish_folder(make_folder(tmp_path / "partial" / "x", "new"), tmp_path / "data" / "x")
    assert contents(tmp_path / "data" / "x") == {"new"}
    assert list((tmp_path / "data").iterdir()) == [tmp_path / "data" / "x"]


class Crash(BaseException):
    """The power went."""


@pytest.mark.parametrize("crash_at", range(8))
def test_a_replacement_cut_short_anywhere_leaves_the_old_or_the_new(tmp_path, monkeypatch, crash_at):
    target = make_folder(tmp_path / "x", "old")
    new = make_folder(tmp_path / ".partial" / "x", "new")
    calls = 0

    def crashing(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > crash_at:
                raise Crash
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crashing(Path.rename))
        patch.setattr(atomic.shutil, "rmtree", crashing(atomic.shutil.rmtree))
        patch.setattr(atomic, "fsync_folder", crashing(atomic.fsync_folder))
        try:
            publish_folder(new, target)
            finished = True
        except Crash:
            finished = False
    recover_folder(target)
    assert contents(target) == ({"new"} if finished else contents(target))
    assert contents(target) in ({"old"}, {"new"})
    assert [path.name for path in tmp_path.iterdir() if path.name != ".partial"] == ["x"]
    if not finished:  # and the next attempt succeeds
        again = tmp_path / ".partial" / "again"
        publish_folder(make_folder(again, "newer"), target)
        assert contents(target) == {"newer"}


def test_recovery_without_anything_to_recover_does_nothing(tmp_path):
    recover_folder(tmp_path / "x")
    make_folder(tmp_path / "x", "old")
    recover_folder(tmp_path / "x")
    assert contents(tmp_path / "x") == {"old"}
