"""Scrubbing: finished files are read again, slowly, to find what the disk has changed since they were written.

What belongs here: which files are due, comparing them with the hash that was noted when they were written, and the mark
on a part that is damaged (`damage.py`), from which its status follows. What does not: presence and sizes, which every
look at a dataset asks (`condition.py`). A file is read once for each start of the process that scrubs, and again
whenever it is another (inode, time or size).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from mistudio_pipelines.errors import MistudioError
from mistudio_pipelines.store.condition import INDEX_SUMMARY_NAME, TOKENIZATION_NAME
from mistudio_pipelines.store.damage import is_damaged, mark_damaged
from mistudio_pipelines.store.deletion import stored_tokenizations
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.locks import INDEX_PART, RAW_PART, dataset_lock, tokenized_part
from mistudio_pipelines.store.manifest import MANIFEST_NAME
from mistudio_pipelines.store.records import list_record_ids
from mistudio_pipelines.store.remembered import read_remembered

_BLOCK_BYTES = 1 << 20
_MOST_REMEMBERED = 200_000
Identity = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """A finished folder whose description says the hash of every file.

    Attributes:
        dataset_id: Of which dataset.
        name: Name of the part, as for its lock.
        folder: Where it is.
        description: Name of the file that lists the others.
    """

    dataset_id: str
    name: str
    folder: Path
    description: str


@dataclass(frozen=True)
class NotedFile:
    """A file and the hash that was noted when it was written."""

    path: str
    algorithm: str
    digest: str


@dataclass(frozen=True)
class Damage:
    """A part whose files are not what was written.

    Attributes:
        part: Which.
        problems: Each damaged file, as a sentence.
    """

    part: Part
    problems: tuple[str, ...]


class Scrubber:
    """Remembers which files it has read; one of it for the life of a process."""

    def __init__(self) -> None:
        self._read: dict[str, Identity] = {}

    def scrub(self, store: DataStore, budget_bytes: int) -> list[Damage]:
        """Read files that are due until so many bytes are read (at least one file), and mark what is damaged.

        Args:
            store: The data folder.
            budget_bytes: Bytes to read; the last file is read to its end.

        Returns:
            The parts that were found damaged.
        """
        found = []
        left = budget_bytes
        for part in finished_parts(store):
            if left <= 0:
                break
            read, is_suspect = self._scrub_part(part, left)
            left -= read
            if is_suspect and (damage := _mark(store, part)) is not None:
                found.append(damage)
        return found

    def _scrub_part(self, part: Part, budget_bytes: int) -> tuple[int, bool]:
        """Read what is due of one part; bytes read, and whether a file is not what was noted."""
        read = 0
        for file in _noted_files(part):
            path = part.folder / file.path
            try:
                identity = _identity(path)
                if self._read.get(str(path)) == identity:
                    continue
                if read >= budget_bytes:
                    break
                digest = _digest(path, file.algorithm)
            except OSError:  # gone or unreadable: `condition.py` sees that
                continue
            read += identity[2]
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            self._read[str(path)] = identity
            if digest != file.digest:
                return read, True
        return read, False


def finished_parts(store: DataStore) -> Iterator[Part]:
    """The finished folders of every dataset."""
    for dataset_id in list_record_ids(store):
        yield Part(dataset_id, RAW_PART, store.raw(dataset_id), MANIFEST_NAME)
        yield Part(dataset_id, INDEX_PART, store.index(dataset_id), INDEX_SUMMARY_NAME)
        for preset in stored_tokenizations(store, dataset_id):
            folder = store.tokenized(dataset_id, preset)
            yield Part(dataset_id, tokenized_part(preset), folder, TOKENIZATION_NAME)


def _mark(store: DataStore, part: Part) -> Damage | None:
    """Look again while nobody writes the part (it may just have been replaced), and mark it."""
    try:
        with dataset_lock(store, part.dataset_id, part.name, "being verified"):
            if is_damaged(part.folder):
                return None
            problems = tuple(
                f"{file.path} has changed since it was written." for file in _noted_files(part) if _differs(part, file)
            )
            if not problems:
                return None
            mark_damaged(part.folder, problems)
            return Damage(part, problems)
    except (MistudioError, OSError):  # somebody writes it, or the disk does not take the mark: the next start looks
        return None


def _differs(part: Part, file: NotedFile) -> bool:
    try:
        return _digest(part.folder / file.path, file.algorithm) != file.digest
    except OSError:
        return False


def _noted_files(part: Part) -> tuple[NotedFile, ...]:
    try:
        return read_remembered(part.folder / part.description, _parse_description)
    except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged itself: `condition.py` sees that
        return ()


def _parse_description(content: bytes) -> tuple[NotedFile, ...]:
    """The files of a manifest, an `index.json` or a `tokenization.json`."""
    noted = []
    for file in json.loads(content)["files"]:
        algorithm = "sha256" if "sha256" in file else "xxh3"
        noted.append(NotedFile(str(file["path"]), algorithm, str(file[algorithm])))
        if file.get("sources"):
            noted.append(NotedFile(str(file["sources"]), "sha256", str(file["sources_sha256"])))
    return tuple(noted)


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(path: Path, algorithm: str) -> str:
    """Hash of a file, in hexadecimal; what was read is not kept in the page cache, where others' files are of use."""
    makers: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "xxh3": xxhash.xxh3_64}
    digest = makers[algorithm]()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return str(digest.hexdigest())
