"""A file that is being downloaded: its bytes so far, what they belong to, and the proof that they are right.

What belongs here: the part on disk, its sidecar, and the verification of what is found on disk. What does not: where
the bytes come from (`hub/fetch.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mistudio_pipelines.hub.hashing import ContentHash
from mistudio_pipelines.hub.plan import RemoteFile

_PART_SUFFIX = ".part"
_SIDECAR_SUFFIX = ".part.json"
_BUFFER = 1024 * 1024
# Smaller files have no sidecar and start over: with thousands of them it would cost more than it saves.
_WORTH_CONTINUING = 256 * 1024


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


class PartialFile:
    """The part of one remote file. Use as a context manager: it holds the file open.

    Args:
        target: Where the finished file is to appear.
        remote: What is downloaded.
        commit: The commit that it comes from.
        check_stop: Called between buffers while bytes found on disk are hashed; may raise.

    Attributes:
        size: Bytes so far, all of them on disk and taken into the hash.
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
        self._sidecar = sidecar_path(target)
        self._descriptor = -1
        self._hash = _hash_of(remote)

    def __enter__(self) -> PartialFile:
        if self._part.is_symlink():  # never written by us, and never followed
            self._part.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._part, flags, 0o644)
        try:
            sidecar = self._read_sidecar()
            found = os.fstat(self._descriptor).st_size
            if sidecar is None or found > self.remote.size:
                self.restart()
            else:
                self.etag = sidecar.etag
                self._hash_found_bytes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._hash.close()
        os.close(self._descriptor)

    def _read_sidecar(self) -> Sidecar | None:
        try:
            sidecar = Sidecar.model_validate_json(self._sidecar.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return sidecar if sidecar == self._sidecar_with(sidecar.etag) else None

    def _sidecar_with(self, etag: str | None) -> Sidecar:
        return Sidecar(path=self.remote.path, size=self.remote.size, content=self._content, etag=etag)

    def _hash_found_bytes(self) -> None:
        while data := os.pread(self._descriptor, _BUFFER, self.size):
            self._check_stop()
            self._hash.update(data)
            self.size += len(data)

    def came_with(self, etag: str | None) -> None:
        """Remember the ETag of the bytes that follow, so that a later attempt can ask for the rest of the same."""
        strong = etag if etag and etag.startswith('"') else None
        if self.remote.size < _WORTH_CONTINUING:
            self.etag = strong  # for the attempts of this process
        elif strong != self.etag or self.size == 0:
            self.etag = strong
            temporary = self._sidecar.with_name(self._sidecar.name + ".tmp")
            temporary.write_text(json.dumps(self._sidecar_with(strong).model_dump()))
            temporary.replace(self._sidecar)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: As the disk says; what was written before is kept and counted.
        """
        while data:
            written = os.pwrite(self._descriptor, data, self.size)
            self._hash.update(data if written == len(data) else data[:written])
            self.size += written
            data = data[written:] if written < len(data) else b""

    def restart(self) -> None:
        """Throw the bytes away."""
        os.ftruncate(self._descriptor, 0)
        self._sidecar.unlink(missing_ok=True)
        self.size = 0
        self.etag = None
        self._hash.close()
        self._hash = _hash_of(self.remote)

    def finish(self) -> str | None:
        """Put the file in its place, durably, and return its sha256; None, and nothing done, where it is not intact."""
        sha256 = self._hash.finish() if self.size == self.remote.size else None
        if sha256 is not None:
            os.fsync(self._descriptor)
            self._part.replace(self.target)
            self._sidecar.unlink(missing_ok=True)
        return sha256


def _hash_of(remote: RemoteFile) -> ContentHash:
    return ContentHash(remote.size, remote.sha256, remote.git_sha1)


def content_identity(remote: RemoteFile, commit: str) -> str:
    """What tells one file of a dataset from another, also over several revisions.

    Its content (or commit, where the Hub says no hash) and its place: files of equal content are still two files, of
    which a reader may use up one.
    """
    return "\0".join((remote.content_hash or commit, remote.split, remote.path))


def discard_part(target: Path) -> None:
    """Remove what there is of a file that came from elsewhere after all."""
    part_path(target).unlink(missing_ok=True)
    sidecar_path(target).unlink(missing_ok=True)


def sidecar_path(target: Path) -> Path:
    """Where the sidecar of a file's part lies."""
    return target.with_name(target.name + _SIDECAR_SUFFIX)


def part_path(target: Path) -> Path:
    """Where the part of a file lies."""
    return target.with_name(target.name + _PART_SUFFIX)


def verified_sha256(path: Path, remote: RemoteFile, check_stop: Callable[[], None]) -> str | None:
    """The sha256 of a file on disk, or None where it is missing or not what the Hub's tree says."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    content_hash = _hash_of(remote)
    try:
        if os.fstat(descriptor).st_size != remote.size:
            return None
        while data := os.read(descriptor, _BUFFER):
            check_stop()
            content_hash.update(data)
        return content_hash.finish()
    finally:
        content_hash.close()
        os.close(descriptor)
