"""Fetching the files of a plan: several at once, watched by the thread that called.

What belongs here: the workers, progress, free space, stopping. What does not: one file's attempts (`hub/fetch.py`),
what the files mean (`hub/repository.py`, `text/`).
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mistudio_pipelines.errors import ErrorCode, MistudioError, Stopped
from mistudio_pipelines.hub.client import HubClient
from mistudio_pipelines.hub.fetch import Transfer, fetch_file
from mistudio_pipelines.hub.names import local_name
from mistudio_pipelines.hub.partial import content_identity, discard_part, part_path, verified_sha256
from mistudio_pipelines.hub.plan import RemoteFile
from mistudio_pipelines.hub.refusals import Request, disk_trouble
from mistudio_pipelines.hub.throttle import Throttle
from mistudio_pipelines.progress import (
    Progress,
    ProgressCallback,
    ShouldStop,
    format_bytes,
    ignore_progress,
    never_stop,
)
from mistudio_pipelines.store.atomic import fsync_folder
from mistudio_pipelines.store.space import free_bytes

CONNECTIONS = 4
FLOOR_BYTES = 512 * 1024 * 1024
"""Free bytes that a download leaves on the disk."""

_POLL_SECONDS = 0.1
_SPACE_SECONDS = 0.25
_PATIENCE_SECONDS = 2.0
_STAGE = "downloading"


@dataclass(frozen=True)
class DownloadedFile:
    """A file that is on disk, complete and verified.

    Attributes:
        remote: What it was downloaded from.
        path: Where it lies.
        sha256: Of its bytes.
        size: Its bytes.
    """

    remote: RemoteFile
    path: Path
    sha256: str
    size: int


def download_files(
    client: HubClient,
    plan_files: Sequence[RemoteFile],
    revision: str,
    repository: str,
    folder: Path,
    *,
    connections: int = CONNECTIONS,
    bytes_per_second: int | None = None,
    floor_bytes: int = FLOOR_BYTES,
    reuse: Mapping[str, Path] | None = None,
    on_progress: ProgressCallback = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[DownloadedFile]:
    """Fetch files, each verified while it is written; what an earlier attempt left in the folder is continued.

    Args:
        client: The Hub.
        plan_files: What to fetch (`RepositoryPlan.files`).
        revision: The pinned commit (`RepositoryPlan.revision`).
        repository: Id of the dataset repository.
        folder: Where the files are put, under names of our own; created if it is missing.
        connections: Files that are fetched at the same time, on one connection each.
        bytes_per_second: Cap for all connections together, or None.
        floor_bytes: Free bytes on the disk below which the download stops.
        reuse: Files on this disk by `RemoteFile.content_hash`, for example of an older revision; used instead of
            fetching, after their bytes were verified.
        on_progress: Called with verified and unverified bytes on disk, several times a second.
        should_stop: Polled ten times a second.

    Returns:
        One entry for each of `plan_files`, in their order.

    Raises:
        MistudioError: `corrupt_download`, `insufficient_storage`, `file_gone`, `hub_unreachable`, `rate_limited` and
            the other refusals of the Hub. What is on disk is kept for the next attempt.
        Stopped: Where `should_stop` said so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = {remote: folder / local_name(remote.path, content_identity(remote, revision)) for remote in plan_files}
    download = _Download(client, repository, revision, targets, reuse or {}, bytes_per_second)
    hashes = download.run(connections, folder, floor_bytes, on_progress, should_stop)
    fsync_folder(folder)
    return [DownloadedFile(remote, targets[remote], hashes[targets[remote]], remote.size) for remote in plan_files]


class _Download:
    def __init__(
        self,
        client: HubClient,
        repository: str,
        revision: str,
        targets: Mapping[RemoteFile, Path],
        reuse: Mapping[str, Path],
        bytes_per_second: int | None,
    ) -> None:
        self._targets = targets
        self._reuse = reuse
        self._total = sum(remote.size for remote in targets)
        self._on_disk = {target: _bytes_on_disk(target, remote) for remote, target in targets.items()}
        self._transfer = Transfer(client, repository, revision, Throttle(bytes_per_second), self._report)
        self._hashes: dict[Path, str] = {}
        self._error: BaseException | None = None
        self._jobs: queue.SimpleQueue[list[RemoteFile]] = queue.SimpleQueue()
        for same in _by_content(targets):
            self._jobs.put(same)

    def _report(self, target: Path, size: int) -> None:
        self._on_disk[target] = size

    @property
    def _done(self) -> int:
        return sum(self._on_disk.values())

    def run(
        self,
        connections: int,
        folder: Path,
        floor_bytes: int,
        on_progress: ProgressCallback,
        should_stop: ShouldStop,
    ) -> dict[Path, str]:
        """Start the workers, watch them, and return the sha256 of each file."""
        workers = [
            threading.Thread(target=self._work, name=f"download-{number}", daemon=True)
            for number in range(max(1, min(connections, len(self._targets))))
        ]
        on_progress(Progress(self._done, self._total, "bytes", _STAGE))
        try:
            for worker in workers:
                worker.start()
            self._watch(workers, folder, floor_bytes, on_progress, should_stop)
        finally:
            self._end(workers)
        if self._error is not None:
            raise self._error
        on_progress(Progress(self._total, self._total, "bytes", _STAGE))
        return self._hashes

    def _watch(
        self,
        workers: Sequence[threading.Thread],
        folder: Path,
        floor_bytes: int,
        on_progress: ProgressCallback,
        should_stop: ShouldStop,
    ) -> None:
        next_space_check = 0.0
        while any(worker.is_alive() for worker in workers) and self._error is None:
            if should_stop():
                raise Stopped(f"The download of {self._transfer.repository}")
            if time.monotonic() >= next_space_check:
                self._check_space(folder, floor_bytes)
                next_space_check = time.monotonic() + _SPACE_SECONDS
            on_progress(Progress(self._done, self._total, "bytes", _STAGE))
            next((worker for worker in workers if worker.is_alive()), workers[0]).join(_POLL_SECONDS)

    def _check_space(self, folder: Path, floor_bytes: int) -> None:
        free = free_bytes(folder)
        if free < floor_bytes and self._done < self._total:
            raise MistudioError(
                ErrorCode.INSUFFICIENT_STORAGE,
                f"The download of {self._transfer.repository} stopped: only {format_bytes(free)} are free on the disk, "
                f"{format_bytes(floor_bytes)} must stay free, and {format_bytes(self._total - self._done)} are still "
                "to come.",
                "Delete datasets that are not needed (`mistudio list` shows their sizes), then retry: "
                "what is downloaded already is kept.",
                details={"free": free, "floor": floor_bytes, "missing": self._total - self._done},
            )

    def _end(self, workers: Sequence[threading.Thread]) -> None:
        """Let no worker outlive the call, as far as that is possible: a blocked read is woken by closing its socket."""
        if self._error is None and not any(worker.is_alive() for worker in workers):
            return
        self._transfer.stopping.set()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
            for response in list(self._transfer.open_responses):
                _shut_down(response)
            for worker in workers:
                if worker.is_alive():
                    worker.join(_POLL_SECONDS)

    def _work(self) -> None:
        while not self._transfer.stopping.is_set():
            try:
                same = self._jobs.get_nowait()
            except queue.Empty:
                return
            for remote in same:
                try:
                    self._hashes[self._targets[remote]] = self._bring(remote, same)
                except OSError as error:
                    request = Request(self._transfer.repository, self._transfer.commit, remote.path)
                    self._fail(disk_trouble(request, error))
                    return
                except BaseException as error:  # noqa: BLE001  (raised again by the thread that called)
                    self._fail(error)
                    return

    def _fail(self, error: BaseException) -> None:
        """Keep the first error; what breaks because the download is being ended is none."""
        if self._error is None and not self._transfer.stopping.is_set():
            self._error = error

    def _bring(self, remote: RemoteFile, same: Sequence[RemoteFile]) -> str:
        """Put a file in its place: it is there, or equal bytes are on this disk, or it is fetched."""
        target, check_stop = self._targets[remote], self._transfer.check_stop
        known = verified_sha256(target, remote, check_stop)
        if known is not None:
            return known
        target.unlink(missing_ok=True)
        for source in self._equal_files(remote, same):
            known = verified_sha256(source, remote, check_stop)
            if known is not None:
                discard_part(target)
                _link_or_copy(source, target)
                self._report(target, remote.size)
                return known
        return fetch_file(self._transfer, remote, target)

    def _equal_files(self, remote: RemoteFile, same: Sequence[RemoteFile]) -> list[Path]:
        others = [self._targets[other] for other in same if other is not remote]
        older = self._reuse.get(remote.content_hash or "")
        return others if older is None else [*others, older]


def _by_content(remotes: Iterable[RemoteFile]) -> list[list[RemoteFile]]:
    """Files of equal content together: one is fetched, the others are copies of it."""
    groups: dict[object, list[RemoteFile]] = {}
    for remote in remotes:
        groups.setdefault(remote.content_hash or (remote.split, remote.path), []).append(remote)
    return list(groups.values())


def _bytes_on_disk(target: Path, remote: RemoteFile) -> int:
    for path in (target, part_path(target)):
        try:
            return min(path.lstat().st_size, remote.size)
        except FileNotFoundError:
            continue
    return 0


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        temporary = part_path(target)
        shutil.copyfile(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)


def _shut_down(response: object) -> None:
    stream = getattr(response, "extensions", {}).get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
