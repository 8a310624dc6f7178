"""Writes that leave either the old or the new, whatever happens in between.

A file is written under a temporary name in its own folder, fsynced and renamed; a folder is built under a
`.partial` name, fsynced and renamed. Nothing here knows what is inside.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

_OLD = ".old-"


def fsync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make a file's bytes survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it appears complete or not at all."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def publish_folder(finished: Path, target: Path) -> None:
    """Put a finished folder in its place, replacing what is there.

    The files inside must be fsynced by their writer. Between the two renames of a replacement the target is
    missing; `recover_folder` then brings the old one back.

    Args:
        finished: The complete new folder, on the same file system.
        target: Where it is to appear.
    """
    fsync_folder(finished)
    target.parent.mkdir(parents=True, exist_ok=True)
    old: Path | None = None
    if target.exists():
        old = target.with_name(f"{_OLD}{target.name}")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    finished.rename(target)
    fsync_folder(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Finish or undo a `publish_folder` that was cut short."""
    old = target.with_name(f"{_OLD}{target.name}")
    if not old.exists():
        return
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(target)
        fsync_folder(target.parent)


def leftovers_of(target: Path) -> list[Path]:
    """What writes of a file or folder that were cut short may have left beside it."""
    return sorted({*target.parent.glob(f".{target.name}.*.tmp"), *target.parent.glob(f"{_OLD}{target.name}")})


def is_leftover(path: Path) -> bool:
    """True where a name is one that a write gives to what is not, or no longer, in its place."""
    return path.name.startswith(_OLD) or (path.name.startswith(".") and path.name.endswith(".tmp"))


def replaced_name(path: Path) -> Path | None:
    """Where a folder was before `publish_folder` set it aside; None for names that it does not give."""
    return path.with_name(path.name.removeprefix(_OLD)) if path.name.startswith(_OLD) else None
