"""Small files that are read again and again: parsed once, and again whenever the file is another.

What is remembered is never older than the file: its identity, time and size are asked every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

_MOST = 20_000
_remembered: dict[tuple[str, Callable[[bytes], Any]], tuple[tuple[int, int, int], Any]] = {}


def read_remembered(path: Path, parse: Callable[[bytes], Value]) -> Value:
    """What a function makes of a file's bytes.

    Args:
        path: The file.
        parse: A function of a module; what it returns must not be changed by whoever gets it.

    Raises:
        OSError: Where the file cannot be read. What `parse` raises is raised here and not remembered.
    """
    found = path.stat()
    identity = (found.st_ino, found.st_mtime_ns, found.st_size)
    key = (os.fspath(path), parse)
    known = _remembered.get(key)
    if known is not None and known[0] == identity:
        value: Value = known[1]
        return value
    value = parse(path.read_bytes())
    if len(_remembered) >= _MOST:
        _remembered.clear()
    _remembered[key] = (identity, value)
    return value
