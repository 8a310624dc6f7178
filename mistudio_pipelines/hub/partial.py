"""A file that is being downloaded: its bytes so far, what they belong to, and their running hash.

What belongs here: the part on disk, its sidecar, and the verification. What does not: where the bytes come from
(`hub/fetch.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.hub.repository import RemoteFile

BUFFER = 1024 * 1024
PART_SUFFIX = ".part"
SIDECAR_SUFFIX = ".part.json"


class Sidecar(BaseModel):
    """What a part belongs to; a part whose sidecar does not fit is thrown away.

    Written without fsync: after a power loss it may be gone, and the file starts over. The bytes themselves are
    proved by their hash.

    Attributes:
        path: Path in the repository, for people who look at it.
        size: Bytes of the whole file.
        content: What identifies the content (`content_identity`).
        etag: Strong ETag of the bytes so far, for `If-Range`, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    path: str
    size: int
    content: str
    etag: str | None = None


@dataclass
class _Hashes:
    """sha256 of the bytes, and their git blob id where that is what proves them."""

    size: int
    with_git: bool

    def __post_init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.git = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False) if self.with_git else None

    def update(self, data: memoryview | bytes) -> None:
        self.sha256.update(data)
        if self.git is not None:
            self.git.update(data)


class PartialFile:
    """The part of one remote file. Use as a context manager: it holds the file open.

    Args:
        target: Where the finished file is to appear.
        remote: What is downloaded.
        commit: The commit that it comes from.
        check_stop: Called between buffers while bytes found on disk are hashed; may raise.

    Attributes:
        size: Bytes so far, all of them hashed.
        etag: Strong ETag that these bytes came with, or None.
    """

    def __init__(self, target: Path, remote: RemoteFile, commit: str, check_stop: Callable[[], None]) -> None:
        self.target = target
        self.remote = remote
        self.size = 0
        self.etag: str | None = None
        self._content = content_identity(remote, commit)
        self._check_stop = check_stop
        self._part = part_path(target)
        self._sidecar = target.with_name(target.name + SIDECAR_SUFFIX)
        self._descriptor = -1
        self._hashes = self._new_hashes()

    def __enter__(self) -> PartialFile:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._part, flags, 0o644)
        try:
            sidecar = self._read_sidecar()
            if sidecar is None:
                self.restart()
            else:
                self.etag = sidecar.etag
                self._hash_found_bytes()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _new_hashes(self) -> _Hashes:
        return _Hashes(self.remote.size, with_git=self.remote.git_sha1 is not None)

    def _read_sidecar(self) -> Sidecar | None:
        try:
            sidecar = Sidecar.model_validate_json(self._sidecar.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return sidecar if sidecar == self._sidecar_with(sidecar.etag) else None

    def _sidecar_with(self, etag: str | None) -> Sidecar:
        return Sidecar(path=self.remote.path, size=self.remote.size, content=self._content, etag=etag)

    def _hash_found_bytes(self) -> None:
        if os.fstat(self._descriptor).st_size > self.remote.size:
            self.restart()
            return
        while data := os.pread(self._descriptor, BUFFER, self.size):
            self._check_stop()
            self._hashes.update(data)
            self.size += len(data)

    def came_with(self, etag: str | None) -> None:
        """Remember the ETag of the bytes that follow, so that a later attempt can ask for the rest of the same."""
        strong = etag if etag and etag.startswith('"') else None
        if strong != self.etag or not self._sidecar.exists():
            self.etag = strong
            temporary = self._sidecar.with_name(self._sidecar.name + ".tmp")
            temporary.write_text(json.dumps(self._sidecar_with(strong).model_dump()))
            temporary.replace(self._sidecar)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: As the disk says; what was written before is kept and counted.
        """
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.size)
            self._hashes.update(view[:written])
            self.size += written
            view = view[written:]

    def restart(self) -> None:
        """Throw the bytes away."""
        os.ftruncate(self._descriptor, 0)
        self._sidecar.unlink(missing_ok=True)
        self.size = 0
        self.etag = None
        self._hashes = self._new_hashes()

    def is_intact(self) -> bool:
        """Whether all bytes are there and are what the Hub's tree says."""
        if self.size != self.remote.size:
            return False
        if self.remote.sha256 is not None:
            return self._hashes.sha256.hexdigest() == self.remote.sha256
        return self._hashes.git is None or self._hashes.git.hexdigest() == self.remote.git_sha1

    def finish(self) -> str:
        """Put the verified file in its place, durably, and return its sha256."""
        os.fsync(self._descriptor)
        self._part.replace(self.target)
        self._sidecar.unlink(missing_ok=True)
        return self._hashes.sha256.hexdigest()


def content_identity(remote: RemoteFile, commit: str) -> str:
    """What tells one content from another: its hash, or its place where the Hub says no hash."""
    return remote.content_hash or f"{commit}/{remote.path}"


def part_path(target: Path) -> Path:
    """Where the part of a file lies."""
    return target.with_name(target.name + PART_SUFFIX)


def verified_sha256(path: Path, remote: RemoteFile, check_stop: Callable[[], None]) -> str | None:
    """The sha256 of a finished file, or None where it is missing or not what the Hub's tree says."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_size != remote.size:
            return None
        hashes = _Hashes(remote.size, with_git=remote.git_sha1 is not None)
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            while data := file.read(BUFFER):
                check_stop()
                hashes.update(data)
    finally:
        os.close(descriptor)
    sha256 = hashes.sha256.hexdigest()
    if remote.sha256 is not None:
        return sha256 if sha256 == remote.sha256 else None
    if hashes.git is not None and hashes.git.hexdigest() != remote.git_sha1:
        return None
    return sha256
