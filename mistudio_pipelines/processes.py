"""Properties of processes: telling one from another that was given the same id later, dying with a parent, the umask.

A process id alone is not enough: ids are used again, also after a restart of the machine. The time of day is no help
either: machines without a clock of their own jump by years when they find the network.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PR_SET_PDEATHSIG = 1
_SECONDS_TO_STOP = 8.0
_TUNABLES = "GLIBC_TUNABLES"
_LARGE_PAGES = "glibc.malloc.hugetlb"
# Field 22 of /proc/PID/stat (see proc(5)), counted after the command name, which may hold anything but ends in ")".
_START_FIELD = 22 - 3


def process_start(pid: int) -> str | None:
    """When a process was started, in a form that is only good for comparing; None where it does not run.

    On Linux that is the boot and the clock ticks since then, elsewhere the time of day. Of an ended process whose
    parent has not noticed (a zombie) nothing runs any more.
    """
    try:
        if _BOOT_ID.exists():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] in "ZX" else f"{_BOOT_ID.read_text().strip()}/{fields[_START_FIELD]}"
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def die_with_parent(parent: int) -> None:
    """End this process as soon as its parent ends, however that ends.

    Linux only (prctl(2), PR_SET_PDEATHSIG); elsewhere nothing is done.

    Args:
        parent: Process id of the parent; where it is gone already, this process ends here.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def ask_for_large_pages(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which the memory of new processes comes in large pages, where the kernel has them on request.

    The tables that grow while an index is written are met at random places, and finding pages of 4 KB takes time (1 GB
    of text, four pairs in turn: a fifteenth; `benchmarks/ingestion.py` runs both ways). Other C libraries than glibc
    (2.35 or newer) do not know the variable.

    Args:
        environment: The environment; a choice of the user's stays as it is.

    Returns:
        A copy with `glibc.malloc.hugetlb` among `GLIBC_TUNABLES`
        (https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html).
    """
    tunables = environment.get(_TUNABLES, "")
    if _LARGE_PAGES in tunables:
        return dict(environment)
    return {**environment, _TUNABLES: ":".join(filter(None, [tunables, f"{_LARGE_PAGES}=1"]))}


def keep_files_private() -> None:
    """Let this process and its children make files that only their owner writes and only their group reads.

    Texts may be confidential, and run records name them; a stricter umask is kept.
    """
    os.umask(os.umask(0o077) | 0o027)


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Ask processes to end, then make them."""
    for process in processes:
        try:
            process.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=_SECONDS_TO_STOP)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=_SECONDS_TO_STOP)
