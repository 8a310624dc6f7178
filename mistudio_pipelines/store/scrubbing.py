"""Scrubbing: finished files are read again, slowly, to find what the disk has changed since they were written.

What belongs here: which files are due, comparing them with the size and hash that were noted when they were written,
and the mark on a part that is damaged (`damage.py`), from which its status follows. What does not: what every look at
a dataset asks (`condition.py`). Sizes are asked at every scrub; a file is read once for each start of the process that
scrubs, and again whenever it is another (inode, time or size).
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
    """A file with the size and the hash that were noted when it was written."""

    path: str
    size: int | None
    algorithm: str
    digest: str


@dataclass(frozen=True)
class Damage:
    """A part whose files are not what was written.

    Attributes:
        part: Which.
        problem: The first file that was found so, as a sentence.
    """

    part: Part
    problem: str


class Scrubber:
    """Remembers which files it has read; one of it for the life of a process."""

    def __init__(self) -> None:
        self._read: dict[str, Identity] = {}

    def scrub(self, store: DataStore, budget_bytes: int) -> list[Damage]:
        """Ask all sizes, read files that are due until so many bytes are read, and mark what is damaged.

        Args:
            store: The data folder.
            budget_bytes: Bytes to read; the last file is read to its end.

        Returns:
            The parts that were found damaged.
        """
        found = []
        left = budget_bytes
        for part in finished_parts(store):
            read, suspect = self._scrub_part(part, left)
            left -= read
            if suspect is not None and (damage := _mark(store, part, suspect)) is not None:
                found.append(damage)
        return found

    def _scrub_part(self, part: Part, budget_bytes: int) -> tuple[int, str | None]:
        """Read what is due of one part; bytes read, and the first file that is not what was noted."""
        read = 0
        if is_damaged(part.folder):
            return read, None
        files = _noted_files(part)
        if files is None:
            return read, part.description
        for file in files:
            path = f"{part.folder}/{file.path}"
            try:
                identity = _identity(path)
                if file.size is not None and identity[2] != file.size:
                    return read, file.path
                if read >= budget_bytes or self._read.get(path) == identity:
                    continue
                digest = _digest(path, file.algorithm)
            except OSError:
                return read, file.path
            read += identity[2]
            if digest != file.digest:
                return read, file.path
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            self._read[path] = identity
        return read, None


def finished_parts(store: DataStore) -> Iterator[Part]:
    """The finished folders of every dataset."""
    for dataset_id in list_record_ids(store):
        yield Part(dataset_id, RAW_PART, store.raw(dataset_id), MANIFEST_NAME)
        yield Part(dataset_id, INDEX_PART, store.index(dataset_id), INDEX_SUMMARY_NAME)
        for preset in stored_tokenizations(store, dataset_id):
            folder = store.tokenized(dataset_id, preset)
            yield Part(dataset_id, tokenized_part(preset), folder, TOKENIZATION_NAME)


def _mark(store: DataStore, part: Part, suspect: str) -> Damage | None:
    """Look again while nobody writes the part (it may just have been replaced or deleted), and mark it."""
    try:
        with dataset_lock(store, part.dataset_id, part.name, "being verified"):
            files = _noted_files(part)
            problem: str | None = f"{part.description} cannot be read."
            if files is not None:
                problem = next((_problem(part, file) for file in files if file.path == suspect), None)
            if problem is None:
                return None
            mark_damaged(part.folder, [problem])
            return Damage(part, problem)
    except (MistudioError, OSError):  # somebody writes it, or the disk does not take the mark: the next scrub looks
        return None


def _problem(part: Part, file: NotedFile) -> str | None:
    """What is wrong with one file, as a sentence."""
    try:
        is_same = _digest(f"{part.folder}/{file.path}", file.algorithm) == file.digest
    except FileNotFoundError:
        return f"{file.path} is missing."
    except OSError as error:
        return f"{file.path} cannot be read: {error.strerror}."
    return None if is_same else f"{file.path} has changed since it was written."


def _noted_files(part: Part) -> tuple[NotedFile, ...] | None:
    """The files of a part: none while it is not there, None where what describes it cannot be read."""
    try:
        return read_remembered(f"{part.folder}/{part.description}", _parse_description)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse_description(content: bytes) -> tuple[NotedFile, ...]:
    """The files of a manifest, an `index.json` or a `tokenization.json`."""
    noted = []
    for file in json.loads(content)["files"]:
        algorithm = "sha256" if "sha256" in file else "xxh3"
        size = int(file["size"] if "size" in file else file["bytes"])
        noted.append(NotedFile(str(file["path"]), size, algorithm, str(file[algorithm])))
        if file.get("sources"):
            noted.append(NotedFile(str(file["sources"]), None, "sha256", str(file["sources_sha256"])))
    return tuple(noted)


def _identity(path: str) -> Identity:
    found = os.stat(path)  # noqa: PTH116  (asked of every file twice a minute)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(path: str, algorithm: str) -> str:
    """Hash of a file, in hexadecimal; what was read is not kept in the page cache, where others' files are of use."""
    makers: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "xxh3": xxhash.xxh3_64}
    digest = makers[algorithm]()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return str(digest.hexdigest())
