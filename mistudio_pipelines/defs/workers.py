"""Which process works on a run, and whether it is still there."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass

import dagster as dg

from mistudio_pipelines.defs.names import WORKER_TAG
from mistudio_pipelines.processes import process_start


@dataclass(frozen=True)
class Worker:
    """A process on a machine.

    Attributes:
        host: Name of the machine (or container).
        pid: Process id there.
        started: When the process was started, as `process_start` says it.
    """

    host: str
    pid: int
    started: str

    def to_tag(self, run_id: str) -> str:
        """The worker as a tag of the run that it works on."""
        return json.dumps({"run_id": run_id, **asdict(self)})

    @classmethod
    def from_tag(cls, tag: str | None) -> Worker | None:
        """The worker of a run tag; None where there is none or it cannot be read."""
        if not tag:
            return None
        try:
            value = json.loads(tag)
            return cls(host=str(value["host"]), pid=int(value["pid"]), started=str(value["started"]))
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def is_here(self) -> bool:
        """True where the worker is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """True where that very process still runs on this machine."""
        return process_start(self.pid) == self.started

    @property
    def is_gone(self) -> bool:
        """True where it is known that the process is gone; of another machine's nothing is known."""
        return self.is_here and not self.is_alive


def this_worker() -> Worker:
    """The current process."""
    return Worker(host=socket.gethostname(), pid=os.getpid(), started=process_start(os.getpid()) or "")


def worker_of(run: dg.DagsterRun) -> Worker | None:
    """The process that has noted itself on a run.

    A run that is re-executed begins with all tags of its parent; the parent's worker is not its own.
    """
    tag = run.tags.get(WORKER_TAG)
    worker = Worker.from_tag(tag)
    return worker if worker is not None and json.loads(tag or "").get("run_id") == run.run_id else None
