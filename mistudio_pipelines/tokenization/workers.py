"""Running tasks on an executor: a few at a time, stoppable from here, on threads, processes or other machines.

What belongs here: submitting and awaiting. What does not: the tasks. Workers elsewhere cannot be told anything by
a variable, so a file in the shared folder tells them to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
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


@contextmanager
def executor_or_threads(executor: Executor | None) -> Iterator[Executor]:
    """The given executor, or threads, one for each core that this process may use."""
    if executor is not None:
        yield executor
        return
    threads = ThreadPoolExecutor(len(sched_getaffinity(0)), thread_name_prefix="tokenize")
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
                raise Stopped("Tokenization")
            on_idle()
    finally:
        unfinished = [future for future in running if not future.cancel() and not future.done()]
        if unfinished:
            stop_file.touch()
            wait(unfinished)
            stop_file.unlink(missing_ok=True)
