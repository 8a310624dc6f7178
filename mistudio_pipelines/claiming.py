"""One installation per Dagster home: whoever starts services claims it first.

What belongs here: who may start. What does not: starting and stopping (`serving.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.serving import RunningServer, answers, find_installation

_SECONDS_TO_WAIT_FOR_ANOTHER = 30.0


@contextmanager
def claim_home(home: Path, *, wait_seconds: float = _SECONDS_TO_WAIT_FOR_ANOTHER) -> Iterator[RunningServer | None]:
    """Have a Dagster home for oneself while the block runs; a claim dies with the process that holds it.

    Two installations on one home would fail each other's runs, so a second one never starts beside the first.

    Args:
        home: The Dagster home.
        wait_seconds: How long another installation may take to answer, or to end.

    Yields:
        None where the home is claimed, else the other installation, which answers.

    Raises:
        MistudioError: `server_unreachable` where there is another installation that does not answer.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "server.lock")
    deadline = time.monotonic() + wait_seconds
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=0)
        server = find_installation(home)
        is_anothers = not lock.is_locked or (server is not None and server.pids[0] != os.getpid())
        if not is_anothers:
            break
        lock.release()
        if server is not None and answers(server.url):
            yield server
            return
        if time.monotonic() > deadline:
            raise does_not_answer(server)
        time.sleep(0.5)
    try:
        yield None
    finally:
        lock.release()


def does_not_answer(server: RunningServer | None) -> MistudioError:
    """The error for an installation that runs and does not answer; None where it is still starting."""
    which = f"process {server.pids[0]}, {server.url}" if server is not None else "it is being started"
    return MistudioError(
        ErrorCode.SERVER_UNREACHABLE,
        f"Dagster is running for this data folder ({which}), but its UI does not answer.",
        "Wait until it does, or stop it (Ctrl-C in its terminal), then try again.",
        transient=True,
    )
