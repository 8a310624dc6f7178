"""Running the shards of a dataset on an executor: stoppable from here, on threads, processes or other machines.

What belongs here: submitting, awaiting, and what workers and the run tell each other. What does not: the tasks. Workers
elsewhere cannot be told anything by a variable, so a file in the shared folder tells them to stop, and small files say
how far they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from os import sched_getaffinity
from pathlib import Path
from typing import TypeVar

from mistudio_pipelines.errors import Stopped
from mistudio_pipelines.progress import ShouldStop

Task = TypeVar("Task")
Report = TypeVar("Report")

_POLL_SECONDS = 0.25
# Waiting tasks keep workers busy without filling a cluster's memory with futures.
_MOST_SUBMITTED = 256
# How long a cluster's workers, if there still are any, have to see the stop file.
_SECONDS_TO_STOP = 30.0
_SECONDS_BETWEEN_NOTES = 0.5


@contextmanager
def executor_or_threads(executor: Executor | None) -> Iterator[Executor]:
    """The given executor, or threads, one for each core that this process may use."""
    if executor is not None:
        yield executor
        return
    threads = ThreadPoolExecutor(len(sched_getaffinity(0)), thread_name_prefix="shard")
    try:
        yield threads
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def run_tasks(
    executor: Executor,
    function: Callable[[Task], Report],
    tasks: Iterable[Task],
    on_report: Callable[[Report], None],
    *,
    stop_file: Path,
    should_stop: ShouldStop,
    on_idle: Callable[[], None] = lambda: None,
) -> None:
    """Run a function over tasks, and hand on each report as it comes, in any order.

    However this ends, no task runs on afterwards: the stop file is written, what has not begun is cancelled, and
    what runs is awaited.

    Args:
        executor: Where they run.
        function: A function of a module, so that it can be sent elsewhere.
        tasks: What it is called with.
        on_report: Called with each report, in this thread.
        stop_file: Tasks end as soon as it exists.
        should_stop: Polled a few times a second.
        on_idle: Called as often, for progress.

    Raises:
        Stopped: Where `should_stop` said so. What a task raises is raised here.
    """
    waiting = iter(tasks)
    running: set[Future[Report]] = set()
    try:
        while True:
            while len(running) < _MOST_SUBMITTED and (task := next(waiting, None)) is not None:
                running.add(executor.submit(function, task))
            if not running:
                return
            done, running = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                on_report(future.result())
            if should_stop():
                raise Stopped("The work on the shards")
            on_idle()
    finally:
        if running:
            _end(executor, running, stop_file)


def _end(executor: Executor, running: set[Future[Report]], stop_file: Path) -> None:
    """Wait until no task of a stopped run goes on; what has not begun is cancelled."""
    # Only the executors of the standard library know whether a task has begun. Others cancel a running one in name
    # only, so tasks get the time to see the stop file first, which those that wait in line do at once.
    knows_what_runs = isinstance(executor, ThreadPoolExecutor | ProcessPoolExecutor)
    begun = [future for future in running if not future.cancel()] if knows_what_runs else list(running)
    stop_file.touch()
    try:
        _, unfinished = wait(begun, None if knows_what_runs else _SECONDS_TO_STOP)
        for future in unfinished:
            future.cancel()
    finally:
        stop_file.unlink(missing_ok=True)


class ProgressNote:
    """A small file in which a worker says how far its shard is.

    Args:
        folder: The folder of notes.
        shard: Number of the shard.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        self._path = folder / f"{shard:06d}.progress"
        self._told = 0.0

    def tell(self, *counts: int) -> None:
        """Say what was done so far; written at most twice a second."""
        if time.monotonic() - self._told > _SECONDS_BETWEEN_NOTES:
            self._told = time.monotonic()
            self._path.write_text(" ".join(map(str, counts)))

    def remove(self) -> None:
        """Remove the note: the shard is finished, or failed."""
        self._path.unlink(missing_ok=True)


def read_notes(folder: Path, count: int) -> list[int]:
    """What all notes of a folder say, added up.

    Args:
        folder: The folder of notes.
        count: How many counts each note has.
    """
    total = [0] * count
    for path in folder.glob("*.progress"):
        try:
            said = [int(number) for number in path.read_text().split()]
        except (OSError, ValueError):  # removed, or being written, at this moment
            continue
        if len(said) == count:
            total = [sum(pair) for pair in zip(total, said, strict=True)]
    return total
