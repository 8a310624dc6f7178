"""Small files that are read again and again: parsed once, and again whenever the file is another.

What is remembered is never older than the file: its identity, time and size are asked every time.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

# Four files for each of ten thousand datasets must fit, or every look at them would read all again.
_MOST = 100_000
_remembered: dict[tuple[str, Callable[[bytes], Any]], tuple[tuple[int, int, int], Any]] = {}


def read_remembered(path: Path | str, parse: Callable[[bytes], Value]) -> Value:
    """What a function makes of a file's bytes.

    Args:
        path: The file.
        parse: A function of a module; what it returns must not be changed by whoever gets it.

    Raises:
        OSError: Where the file cannot be read. What `parse` raises is raised here and not remembered.
    """
    name = os.fspath(path)
    found = os.stat(name)  # noqa: PTH116  (a list of datasets asks for thousands: making paths would take longest)
    identity = (found.st_ino, found.st_mtime_ns, found.st_size)
    key = (name, parse)
    known = _remembered.get(key)
    if known is not None and known[0] == identity:
        value: Value = known[1]
        return value
    with io.FileIO(name) as file:  # without a buffer of its own, which costs more than the reading
        value = parse(file.readall())
    if len(_remembered) >= _MOST:
        forget_all()
    _remembered[key] = (identity, value)
    return value


def forget_all() -> None:
    """Read every file again at the next look."""
    _remembered.clear()
