"""Fetching one file: resumed with Range and If-Range, verified while it is written, tried again where that helps.

What belongs here: the attempts for one file. What does not: several files at once (`hub/download.py`), the bytes on
disk (`hub/partial.py`), what a fault means (`hub/faults.py`).
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.hub import faults
from mistudio_pipelines.hub.client import HubClient, origin
from mistudio_pipelines.hub.faults import Fault, FaultKind
from mistudio_pipelines.hub.partial import PartialFile
from mistudio_pipelines.hub.plan import RemoteFile
from mistudio_pipelines.hub.refusals import Request, disk_trouble
from mistudio_pipelines.hub.throttle import Throttle

if TYPE_CHECKING:
    import httpx2

CORRUPT_ATTEMPTS = 3
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass
class Transfer:
    """What the fetches of one download share.

    Attributes:
        client: The Hub.
        repository: Id of the dataset repository.
        commit: The pinned commit.
        throttle: The cap on bytes per second.
        report: Called with a file's place and the bytes of it that are on disk.
    """

    client: HubClient
    repository: str
    commit: str
    throttle: Throttle
    report: Callable[[Path, int], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    open_responses: set[httpx2.Response] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _not_before: float = 0.0

    def check_stop(self) -> None:
        """Raise `Stopped` where the download is to end."""
        if self.stopping.is_set():
            raise Stopped(f"The download of {self.repository}")

    def sleep(self, seconds: float) -> None:
        """Wait, or raise `Stopped`."""
        if self.stopping.wait(max(0.0, seconds)):
            self.check_stop()

    def hold_all(self, seconds: float) -> None:
        """No fetch sends a request before this many seconds: the Hub's limits are for all of them together."""
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def wait_for_turn(self) -> None:
        """Wait until requests are allowed again."""
        while (left := self._not_before - time.monotonic()) > 0:
            self.sleep(left)


class _Corrupt(Exception):
    """The bytes are not those of the Hub's tree."""


class _Refused(Exception):
    """The Hub answered with something else than the bytes."""

    def __init__(self, fault: Fault, headers: httpx2.Headers) -> None:
        super().__init__(fault.reason)
        self.fault = fault
        self.headers = headers


def fetch_file(transfer: Transfer, remote: RemoteFile, target: Path) -> str:
    """Fetch a file, or the rest of it, and return its sha256.

    Args:
        transfer: What the download shares.
        remote: The file.
        target: Where it is to appear once it is complete and verified.

    Raises:
        MistudioError: `corrupt_download` after three bodies that are not the file; what the Hub refuses;
            `insufficient_storage` where the disk is full.
        Stopped: Where `transfer.stopping` is set.
    """
    failures = corrupt = 0
    with PartialFile(target, remote, transfer.commit, transfer.check_stop) as part:
        while True:
            before = part.size
            try:
                if part.size < remote.size:
                    transfer.wait_for_turn()
                    _continue(transfer, part)
                sha256 = part.finish()
                if sha256 is None:
                    raise _Corrupt
                return sha256
            except _Corrupt:
                corrupt += 1
                part.restart()
                transfer.report(target, part.size)
                if corrupt >= CORRUPT_ATTEMPTS:
                    raise _corrupt_download(transfer, remote) from None
            except (Stopped, MistudioError):
                raise
            except Exception as error:  # noqa: BLE001  (classified right below)
                transfer.check_stop()
                failures = 1 if part.size > before else failures + 1
                _wait_or_raise(transfer, remote, error, failures)


def _wait_or_raise(transfer: Transfer, remote: RemoteFile, error: Exception, failures: int) -> None:
    import httpx2

    client = transfer.client
    refused = isinstance(error, _Refused)
    fault = error.fault if isinstance(error, _Refused) else faults.classify(exception=error)
    headers = error.headers if isinstance(error, _Refused) else httpx2.Headers()
    request = Request(transfer.repository, transfer.commit, remote.path)
    if isinstance(error, OSError) and fault.kind in (FaultKind.DISK_FULL, FaultKind.FAIL):
        raise disk_trouble(request, error) from error
    wait = faults.wait_before_retry(fault, failures, random.random(), first_wait=client.first_wait_seconds)  # noqa: S311  (jitter)
    if wait is None:
        raise client.refusal(fault, request, headers) from (None if refused else error)
    if fault.retry_after_seconds is not None:
        transfer.hold_all(wait)
    transfer.sleep(wait)


def _corrupt_download(transfer: Transfer, remote: RemoteFile) -> MistudioError:
    return MistudioError(
        ErrorCode.CORRUPT_DOWNLOAD,
        f"The file '{remote.path}' of '{transfer.repository}' came {CORRUPT_ATTEMPTS} times with other bytes than the "
        "Hub's own checksum says.",
        "Retry later; if it stays so, a proxy in between or the file on the Hub is broken.",
        details={"path": remote.path, "expected": remote.content_hash},
    )


def _continue(transfer: Transfer, part: PartialFile) -> None:
    """One request for what is missing; returns when the body has ended."""
    headers = {}
    if part.size:
        headers["range"] = f"bytes={part.size}-"
        if part.etag is not None:
            headers["if-range"] = part.etag
    with transfer.client.stream(part.remote.url, headers) as response:
        transfer.open_responses.add(response)
        try:
            transfer.check_stop()
            _accept(transfer, part, response)
            _receive(transfer, part, response)
        finally:
            transfer.open_responses.discard(response)


def _accept(transfer: Transfer, part: PartialFile, response: httpx2.Response) -> None:
    """Make sure that what follows is this file from the part's end on, or start over."""
    status = response.status_code
    if status == 416 or (status == 206 and not _continues(part, response.headers.get("content-range", ""))):
        part.restart()
        raise _Refused(Fault(FaultKind.RETRY, reason="the Hub did not continue where we asked"), response.headers)
    if status not in (200, 206):
        raise _Refused(_fault_of(transfer, response), response.headers)
    _check_identity(transfer, part.remote, response)
    if status == 200 and part.size:
        # The content changed, or this server knows no ranges: from the start, never mixed.
        part.restart()
    part.came_with(response.headers.get("etag"))


def _continues(part: PartialFile, content_range: str) -> bool:
    found = _CONTENT_RANGE.fullmatch(content_range.strip())
    return found is not None and int(found[1]) == part.size and found[3] in ("*", str(part.remote.size))


def _fault_of(transfer: Transfer, response: httpx2.Response) -> Fault:
    status = response.status_code
    elsewhere = origin(str(response.url)) != origin(transfer.client.endpoint)
    if elsewhere and 400 <= status < 500 and status != 429:
        # The storage behind the Hub: its links live for a short time, the next request gets a fresh one.
        return Fault(FaultKind.RETRY, reason=f"the storage behind the Hub answered HTTP {status}")
    return faults.classify(status, response.headers)


def _check_identity(transfer: Transfer, remote: RemoteFile, response: httpx2.Response) -> None:
    """Refuse early what the headers already show to be another file."""
    hub_headers = response.extensions["hub_headers"]
    if hub_headers.get("x-repo-commit", transfer.commit) != transfer.commit:
        raise _Corrupt
    linked = hub_headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
    if remote.sha256 is not None and linked and linked != remote.sha256:
        raise _Corrupt
    length = response.headers.get("content-length", "")
    if response.status_code == 200 and length.isdigit() and int(length) != remote.size:
        raise _Corrupt


def _receive(transfer: Transfer, part: PartialFile, response: httpx2.Response) -> None:
    room = part.remote.size
    for data in response.iter_raw():
        transfer.check_stop()
        if part.size + len(data) > room:
            raise _Corrupt
        part.write(data)
        transfer.report(part.target, part.size)
        transfer.throttle.take(len(data), transfer.sleep)
    if part.size < room:
        raise ConnectionError(f"the body ended after {part.size} of {room} bytes")
