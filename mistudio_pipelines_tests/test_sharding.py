"""Running tasks on an executor: however it ends, nothing runs on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.progress import never_stop
from mistudio_pipelines.sharding import ProgressNote, executor_or_threads, read_notes, run_tasks


class Interrupt(BaseException):
    """As the interrupt that ends a run."""


def test_all_reports_come_in(tmp_path):
    reports = []
    with executor_or_threads(None) as executor:
        run_tasks(
            executor,
            lambda task: task * 2,
            range(1000),
            reports.append,
            stop_file=tmp_path / "stop",
            should_stop=never_stop,
        )

    assert sorted(reports) == list(range(0, 2000, 2))


@pytest.mark.parametrize("how", ["should_stop", "task", "report"])
def test_whatever_ends_it_the_others_are_told_to_stop_and_awaited(how, tmp_path):
    stop_file = tmp_path / "stop"
    began, ended = threading.Event(), []

    def work(task):
        if task == 1:
            began.wait(5)
            if how == "task":
                raise Interrupt
            return task
        began.set()
        while not stop_file.exists():
            time.sleep(0.01)
        ended.append(task)
        return task

    def on_report(_):
        if how == "report":
            raise Interrupt

    with ThreadPoolExecutor(2) as executor, pytest.raises(Stopped if how == "should_stop" else Interrupt):
        run_tasks(
            executor,
            work,
            range(20),
            on_report,
            stop_file=stop_file,
            should_stop=lambda: how == "should_stop" and began.is_set(),
        )

    assert ended == [0]
    assert not stop_file.exists()


def test_notes_of_all_workers_are_added_up_and_damaged_ones_left_out(tmp_path):
    first, second = ProgressNote(tmp_path, 1), ProgressNote(tmp_path, 2)
    first.tell(3, 40)
    second.tell(5, 60)
    (tmp_path / "000003.progress").write_text("7")
    (tmp_path / "000004.progress").write_text("half a numb")
    assert read_notes(tmp_path, 2) == [8, 100]
    second.remove()
    assert read_notes(tmp_path, 2) == [3, 40]


def test_notes_are_written_now_and_then_only(tmp_path):
    note = ProgressNote(tmp_path, 1)
    note.tell(1)
    note.tell(2)
    assert read_notes(tmp_path, 1) == [1]
