"""Which process works on a run, and whether it is still there.

A process id alone is not enough: ids are used again, also after a restart of the machine.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass

import psutil


@dataclass(frozen=True)
class Worker:
    """A process on a machine.

    Attributes:
        host: Name of the machine (or container).
        pid: Process id there.
        started: When the process was started, seconds since 1970.
    """

    host: str
    pid: int
    started: float

    def to_tag(self) -> str:
        """The worker as a run tag."""
        return json.dumps(asdict(self))

    @classmethod
    def from_tag(cls, tag: str | None) -> Worker | None:
        """The worker of a run tag; None where there is none or it cannot be read."""
        if not tag:
            return None
        try:
            value = json.loads(tag)
            return cls(host=str(value["host"]), pid=int(value["pid"]), started=float(value["started"]))
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def is_here(self) -> bool:
        """True where the worker is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """True where that very process still runs on this machine."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 2
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def this_worker() -> Worker:
    """The current process."""
    process = psutil.Process()
    return Worker(host=socket.gethostname(), pid=os.getpid(), started=process.create_time())
