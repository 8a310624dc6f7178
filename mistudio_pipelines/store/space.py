"""Free space and the bytes that folders take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written on the file system of a folder (which need not exist yet)."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none. Links are not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:  # removed while we were counting
                continue
    return total


def path_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 where there is nothing."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return folder_bytes(path)


def remove_path(path: Path) -> None:
    """Remove a file, or a folder with everything in it, as far as that can be done. Links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
