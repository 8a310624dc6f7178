"""Files that people upload: streamed to the disk, then read by a run of `add_dataset`, then removed.

Each lies in a folder of its own, named by us, below `uploads` in the data folder; what the sender called it is only a
value. The folder goes as soon as the dataset's own files are made of it, when the run fails, or when nobody finished
it. What belongs here: these files. What does not: HTTP (`routes/uploads.py`), the run (`dagster_runs.py`).
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio.to_thread

from mistudio_pipelines.errors import ErrorCode, MistudioError
from mistudio_pipelines.progress import format_bytes
from mistudio_pipelines.store.atomic import fsync_file, write_bytes
from mistudio_pipelines.store.layout import DataStore
from mistudio_pipelines.store.room import FLOOR_BYTES
from mistudio_pipelines.store.space import folder_bytes, free_bytes

ENDINGS = re.compile(r"\.(?:csv|tsv|jsonl?|ndjson|txt|parquet|arrow)(?:\.(?:gz|zst|bz2|xz|zip))?\Z", re.IGNORECASE)
MOST_AT_ONCE = 20
_BUFFER_BYTES = 1 << 20
_CHECK_ROOM_BYTES = 64 << 20
_SECONDS_UNTIL_ABANDONED = 3600.0
_RUN_NOTE = "run"
_ID = re.compile(r"[0-9a-f]{16}\Z")


@dataclass
class UploadedFile:
    """One upload.

    Attributes:
        id: Its name for us.
        filename: What the sender called it; only shown.
        path: Where it lies.
        size: Its bytes as announced, or None.
        form: The other fields of the form of `add_dataset`.
        state: `waiting`, `receiving`, or `received`.
        received: Bytes so far.
        touched: When something last happened, on the monotonic clock.
        run_id: The run that adds it.
        failure: What went wrong while it was received.
    """

    id: str
    filename: str
    path: Path
    size: int | None
    form: dict[str, object]
    state: Literal["waiting", "receiving", "received"] = "waiting"
    received: int = 0
    touched: float = field(default_factory=time.monotonic)
    run_id: str | None = None
    failure: MistudioError | None = None

    @property
    def awaits_run(self) -> bool:
        """True where it is here whole and only the run that adds it could not be started yet."""
        return self.state == "received" and self.run_id is None


class Uploads:
    """The uploads of one data folder; those of this process are known, older ones are only tidied away.

    Args:
        store: The data folder.
        limit_bytes: Most bytes of a file.
    """

    def __init__(self, store: DataStore, limit_bytes: int) -> None:
        self._store = store
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._known: dict[str, UploadedFile] = {}

    def begin(self, filename: str, size: int | None, form: dict[str, object]) -> UploadedFile:
        """Announce a file before its first byte.

        Raises:
            MistudioError: `unsupported_format`, `body_too_large`, `insufficient_storage`, `busy`.
        """
        ending = ENDINGS.search(filename)
        if ending is None:
            raise MistudioError(
                ErrorCode.UNSUPPORTED_FORMAT,
                "The ending of the file's name is none of a format that can be read.",
                "Name it .csv, .tsv, .json, .jsonl, .txt, .parquet or .arrow, also with .gz or .zst after it.",
            )
        if size is not None:
            self._check_size(size)
            self._check_room(size)
        with self._lock:
            self._drop_abandoned()
            if sum(one.run_id is None for one in self._known.values()) >= MOST_AT_ONCE:
                raise MistudioError(
                    ErrorCode.BUSY, "Too many uploads are open.", "Finish or delete one of them first.", transient=True
                )
            upload_id = secrets.token_hex(8)
            path = self._store.uploads_root / upload_id / f"uploaded{ending[0].lower()}"
            upload = self._known[upload_id] = UploadedFile(upload_id, filename, path, size, form)
        return upload

    def find(self, upload_id: str) -> UploadedFile:
        """An upload of this process.

        Raises:
            MistudioError: `not_found`.
        """
        upload = self._known.get(upload_id)
        if upload is None:
            raise MistudioError(
                ErrorCode.NOT_FOUND, "There is no such upload.", "POST /api/uploads announces a file and gives its id."
            )
        return upload

    async def receive(self, upload: UploadedFile, chunks: AsyncIterator[bytes]) -> None:
        """Write the body of an upload to its file, in bounded memory.

        Raises:
            MistudioError: `busy` where it was received already, `body_too_large`, `insufficient_storage`,
                `validation_error` where fewer bytes come than were announced.
        """
        with self._lock:
            if upload.state != "waiting":
                raise MistudioError(
                    ErrorCode.BUSY, "This file is being received, or was.", "Announce another for another file."
                )
            upload.state, upload.received, upload.failure = "receiving", 0, None
        try:
            await self._write(upload, chunks)
        except BaseException as error:
            if isinstance(error, MistudioError):
                upload.failure = error
            shutil.rmtree(upload.path.parent, ignore_errors=True)
            upload.state, upload.received = "waiting", 0  # it may be sent again
            raise
        upload.state = "received"

    async def _write(self, upload: UploadedFile, chunks: AsyncIterator[bytes]) -> None:
        upload.path.parent.mkdir(parents=True, exist_ok=True)
        buffer = bytearray()
        checked = 0
        with upload.path.open("wb") as file:
            async for chunk in chunks:
                buffer += chunk
                upload.received += len(chunk)
                upload.touched = time.monotonic()
                self._check_size(upload.received)
                if upload.received - checked >= _CHECK_ROOM_BYTES:
                    checked = upload.received
                    self._check_room(0)
                if len(buffer) >= _BUFFER_BYTES:
                    await anyio.to_thread.run_sync(file.write, bytes(buffer))
                    buffer.clear()
            file.write(buffer)
        if upload.size is not None and upload.size != upload.received:
            raise MistudioError(
                ErrorCode.VALIDATION_ERROR,
                f"{upload.size:,} bytes were announced, {upload.received:,} came.",
                "Send the file again.",
                transient=True,
            )
        await anyio.to_thread.run_sync(fsync_file, upload.path)

    def note_run(self, upload: UploadedFile, run_id: str) -> None:
        """Note which run adds the file; it is kept while that runs, also over a restart of this process."""
        write_bytes(upload.path.parent / _RUN_NOTE, run_id.encode())
        upload.run_id, upload.failure = run_id, None

    def remove(self, upload_id: str) -> None:
        """Forget an upload and remove its file."""
        with self._lock:
            self._known.pop(upload_id, None)
        self.remove_file(upload_id)

    def remove_file(self, upload_id: str) -> None:
        """Remove the file of an upload; how it ended can still be asked."""
        if _ID.match(upload_id):
            shutil.rmtree(self.folder(upload_id), ignore_errors=True)

    def bytes(self) -> int:
        """What all uploaded files take on disk."""
        return folder_bytes(self._store.uploads_root)

    def stored(self) -> Iterator[tuple[str, str | None, float]]:
        """Every upload on disk: its id, the run that adds it, and how many seconds ago it was written."""
        try:
            folders = [path for path in self._store.uploads_root.iterdir() if _ID.match(path.name)]
        except FileNotFoundError:
            return
        for folder in folders:
            note = folder / _RUN_NOTE
            try:
                age = time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
                yield folder.name, note.read_text() if note.exists() else None, age
            except FileNotFoundError:  # removed at this moment
                continue

    def is_open(self, upload_id: str) -> bool:
        """True while this process waits for the body or receives it."""
        upload = self._known.get(upload_id)
        return upload is not None and upload.run_id is None

    def folder(self, upload_id: str) -> Path:
        """Where an upload lies."""
        return self._store.uploads_root / upload_id

    def _drop_abandoned(self) -> None:
        """Forget what nobody has sent anything of for an hour; called with the lock held."""
        oldest = time.monotonic() - _SECONDS_UNTIL_ABANDONED
        for upload in list(self._known.values()):
            if upload.touched < oldest and upload.state != "receiving":
                del self._known[upload.id]

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise MistudioError(
                ErrorCode.BODY_TOO_LARGE,
                f"The file is larger than {format_bytes(self._limit)}.",
                "Add it by its path instead (`mistudio add ./FILE`), or raise --upload-limit-bytes.",
                details={"limit": self._limit},
            )

    def _check_room(self, size: int) -> None:
        available = max(0, free_bytes(self._store.root) - FLOOR_BYTES)
        if size > available or not available:
            raise MistudioError(
                ErrorCode.INSUFFICIENT_STORAGE,
                f"Insufficient storage: the file has {format_bytes(size)} but only {format_bytes(available)} "
                "is available.",
                "Please free up space or delete unused datasets.",
                details={"required": size, "available": available},
            )
